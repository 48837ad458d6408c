/* A "Linux kernel" that prints what it was given: command line, initial RAM disk, and what its loader filled in. */
#include "print.h"

void main(u8 *parameters) {
  u32 *word = (u32 *)(parameters + 0x214);
  const char *line = *(const char **)(parameters + 0x228);
  u32 image = *(u32 *)(parameters + 0x218), size = *(u32 *)(parameters + 0x21c);
  text("command line: "), text(line), text("\n");
  number("code32_start", *word, 8), number(" loader set", parameters[0x210] != 0, 1);
  number(" loaded high", parameters[0x211] & 1, 1), text("\n");
  number("initrd: length", size, 8);
  number(" aligned", (image & 0xfff) == 0, 1), number(" high", image >= 0x00f00000 - size, 1), text(" ");
  for (u32 i = 0; i < size; i++) put_char(((char *)image)[i]);
  text("\n");
  finish(3);
}
