/* step - what a step of the pipeline returns: see dns.h for STEP_WAIT. */
#pragma once

enum step { STEP_DONE, STEP_WAIT };
