/* placeholder until the first module of this layer lands */
extern int feedback_layer;
int feedback_layer;
