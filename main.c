/* main - the command table; nothing else lives here. */
#include <stdio.h>

int main(void)
{
	puts("assay " ASSAY_VERSION);
	return 0;
}
