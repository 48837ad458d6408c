/* Prints the command line, and each boot module: its text, length and first bytes. */
#include "print.h"

void main(u32 *info) {
  const char *line = (const char *)info[4];
  while (*line && *line != ' ') line++; /* the kernel's own name depends on the loader */
  text("command line:"), text(line), text("\n");
  u32 *module = (u32 *)info[6];
  number("modules", info[5], 1), text("\n");
  for (u32 n = 0; n < info[5]; n++, module += 4) {
    text((const char *)module[2]);
    number(": aligned", (module[0] & 0xfff) == 0, 1);
    number(" length", module[1] - module[0], 8), text(" ");
    for (u32 i = 0; i < 8 && module[0] + i < module[1]; i++) put_char(((char *)module[0])[i]);
    text("\n");
  }
  finish(module == (u32 *)info[6]);
}
