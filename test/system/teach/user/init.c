/* The first program: a shell for the console, again and again; waits for orphans, too. */
#include "user.h"

int main(void) {
  static char *const arguments[] = {"sh", 0};
  int shell, id, status;
  open("console", OPEN_READ | OPEN_WRITE);
  dup(0);
  dup(0);
  for (;;) {
    print(1, "init: starting sh\n");
    if ((shell = fork()) == 0) {
      exec("sh", arguments);
      exit(1);
    }
    while ((id = wait(&status)) >= 0 && id != shell) {}
  }
}
