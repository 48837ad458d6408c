/* Lists the directory. */
#include "user.h"
#include "../kernel/format.h"

int main(void) {
  struct entry e;
  int d = open(".", OPEN_READ);
  while (read(d, &e, sizeof e) == sizeof e) {
    if (e.inode) print(1, "%d %s\n", e.inode, e.name);
  }
  exit(0);
}
