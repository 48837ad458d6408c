/* What the boot loader says: memory, command line, modules, map. Only what every machine agrees on is printed exactly. */
#include "term.h"

struct map_entry {
  u32 size, base_low, base_high, length_low, length_high, type;
} __attribute__((packed));
struct module {
  u32 start, end, string, reserved;
};

void kernel_main(u32 magic, u32 *info) {
  term_clear();
  serial_init();
  if (magic != 0x2BADB002) {
    printf("not started by a Multiboot loader: %x\n", magic);
    return;
  }
  u32 flags = info[0];
  puts("started by a Multiboot loader\n");
  printf("memory fields: %s\n", flags & 1 ? "yes" : "no");
  printf("lower memory near 640 KiB: %s\n", info[1] > 600 && info[1] <= 640 ? "yes" : "no");
  printf("upper memory near 15 MiB: %s\n", info[2] > 14 * 1024 && info[2] <= 15 * 1024 ? "yes" : "no");
  printf("command line: %s\n", flags & 4 && info[4] ? "yes" : "no");
  printf("modules: %u\n", flags & 8 ? info[5] : 0);
  const struct module *modules = (const struct module *)info[6];
  for (u32 i = 0; flags & 8 && i < info[5]; i++) {
    printf("module %u, %u bytes:", i, modules[i].end - modules[i].start);
    for (const char *p = (const char *)modules[i].start; p < (const char *)modules[i].end && *p != '\n'; p++) putchar(*p);
    putchar('\n');
  }
  printf("map: %s\n", flags & 0x40 ? "yes" : "no");
  u32 usable = 0, ordered = 1, before = 0, holds = 0;
  for (u32 at = info[12]; at < info[12] + info[11];) {
    const struct map_entry *entry = (const struct map_entry *)at;
    if (entry->base_low < before) ordered = 0;
    before = entry->base_low;
    if (entry->type == 1) {
      usable += entry->length_low / 1024;
      holds |= entry->base_low <= 0x100000 && 0x100000 < entry->base_low + entry->length_low;
    }
    at += entry->size + 4;
  }
  printf("usable: %u MiB, rounded up\n", (usable + 1023) / 1024);
  printf("in order: %s, kernel lies in it: %s\n", ordered ? "yes" : "no", holds ? "yes" : "no");
}
