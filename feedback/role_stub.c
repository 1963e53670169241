#include "feedback/role.h"
static int st(struct role *r){(void)r;return 0;}
#include <event2/event.h>
static void sp(struct role *r){event_base_loopbreak(r->loop);}
const struct role_kind role_milter={.name="milter",.start=st,.stop=sp};
