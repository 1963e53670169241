/* The client against a node of a Cluster that is made up here, and goes away in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feedback/books_lua.h"
#include "feedback/redis.h"

/* The next command's first two words; false: the client has closed. */
static bool read_command(FILE *f, char words[2][64])
{
	int argc, n;
	words[0][0] = words[1][0] = '\0';
	if (fscanf(f, "*%d\r\n", &argc) != 1)
		return false;
	for (int i = 0; i < argc; i++) {
		if (fscanf(f, "$%d\r\n", &n) != 1)
			return false;
		for (int k = 0; k < n + 2; k++) {
			int c = getc(f);
			if (i < 2 && k < n && k < 63) {
				words[i][k] = (char)c;
				words[i][k + 1] = '\0';
			}
		}
	}
	return true;
}

#define CALLS 3

/* Has all slots. On its first connection calls get `refusals`, and asked what is left of a slot it
 * closes. Later it answers calls. */
static void node(int listener, int port, const char *const refusals[CALLS])
{
	int calls = 0;
	for (int connection = 0;; connection++) {
		char words[2][64];
		int fd = accept(listener, NULL, NULL);
		FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
		while (read_command(in, words)) {
			if (strcmp(words[1], "assay_version") == 0)
				fprintf(out, "$%zu\r\n%s\r\n", strlen(books_lua_version()),
					books_lua_version());
			else if (strcmp(words[1], "SLOTS") == 0)
				fprintf(out, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n"
					     ":%d\r\n",
					port);
			else if (strcmp(words[1], "COUNTKEYSINSLOT") == 0)
				break;
			else if (connection == 0)
				fprintf(out, "-%s\r\n", refusals[calls++ % CALLS]);
			else
				fprintf(out, ":7\r\n");
			fflush(out);
		}
		fclose(in);
		fclose(out);
	}
}

static void goes_away(const char *const refusals[CALLS])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	char name[32];
	const char *names[] = {name};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	int port = ntohs(address.sin_port);
	snprintf(name, sizeof(name), "127.0.0.1:%d", port);
	pid_t pid = fork();
	if (pid == 0)
		node(listener, port, refusals);
	close(listener);
	struct config config = {.redis = {.kind = REDIS_CLUSTER,
					  .addresses = {.v = names, .n = 1}}};
	struct redis *r;
	assert_int_equal(redis_open(&r, &config, 0), 0);
	for (size_t i = 0; i < CALLS; i++) {
		const struct span words[] = {SPAN("FCALL"), SPAN("assay_mark"), SPAN("1"),
					     SPAN("{foo}gen")};
		redis_queue(r, words[3], 4, words);
	}
	assert_int_equal(redis_exchange(r), 0);
	for (size_t i = 0; i < CALLS; i++)
		assert_int_equal(redis_answer_int(redis_answer(r, i)), 7);
	redis_close(r);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A connection that breaks at one answer is none for the others of the same round. */
static void node_goes_away_between_two_answers(void **unused)
{
	static const char ask[] = "ASK 12182 127.0.0.1:1", missing[] = "ERR Function not found";
	static const char *const rows[][CALLS] = {
		{ask, ask, ask}, {ask, missing, missing}, {"TRYAGAIN", ask, ask}};
	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		goes_away(rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(node_goes_away_between_two_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
