/* Runs a program again and again: `spawn N PROGRAM ARGS...` prints, for each
 * run, {"wall_ms": from before the fork to the exit, "cpu_ms": user and system
 * time, "rss_mb": the most memory at once}. The program's stdout is discarded.
 *
 * A process of its own, because the kernel counts what the parent occupies as
 * the child's until the child executes its program. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static double milliseconds(struct timeval t) {
  return t.tv_sec * 1e3 + t.tv_usec * 1e-3;
}

/* Replaces the child by the program. */
static void become(char **argv) {
  int null = open("/dev/null", O_WRONLY);
  if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
    _exit(127);
  execv(argv[0], argv);
  perror(argv[0]);
  _exit(127);
}

int main(int argc, char **argv) {
  int count = argc > 2 ? atoi(argv[1]) : 0;
  if (count < 1) {
    fprintf(stderr, "usage: spawn N PROGRAM ARGS...\n");
    return 1;
  }
  for (int n = 0; n < count; ++n) {
    double start = now();
    pid_t child = fork();
    if (child < 0) {
      perror("fork");
      return 1;
    }
    if (child == 0)
      become(argv + 2);
    int status;
    struct rusage usage;
    if (wait4(child, &status, 0, &usage) < 0) {
      perror("wait4");
      return 1;
    }
    double wall = now() - start;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      return 1;
    printf("{\"wall_ms\": %.3f, \"cpu_ms\": %.3f, \"rss_mb\": %.3f}\n", wall,
           milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
           usage.ru_maxrss * 1024e-6);
  }
  return 0;
}
