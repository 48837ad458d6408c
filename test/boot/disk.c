/* An IDE driver that waits for interrupts: identity, reads in every form, writes, errors, a slave. */
#include "print.h"

static volatile u32 count;
static volatile u8 last_status;
static u8 data[16 * 512];

__attribute__((used)) static void on_disk(void) {
  last_status = in8(0x1f7);
  count++;
  out8(0xa0, 0x20);
  out8(0x20, 0x20);
}
HANDLER(disk_entry, on_disk);

static void wait_interrupt(void) {
  while (!count) asm volatile("sti; hlt; cli" : : : "memory");
  count--;
}
static void wait_ready(void) {
  while ((in8(0x3f6) & 0xc0) != 0x40) continue;
}
static void command(u8 device, u32 sector, u8 n, u8 code) {
  wait_ready();
  out8(0x1f6, device | (device & 0x40 ? sector >> 24 : 0));
  wait_ready();
  out8(0x1f2, n);
  out8(0x1f3, sector), out8(0x1f4, sector >> 8), out8(0x1f5, sector >> 16);
  out8(0x1f7, code);
}
static u32 sum(u32 bytes) {
  u32 s = 0;
  for (u32 i = 0; i < bytes; i++) s = (s << 1 | s >> 31) ^ data[i];
  return s;
}
static void line(const char *name, u32 bytes) {
  text(name);
  number(": status", last_status & 0xfb, 2);
  if (bytes) number(" sum", sum(bytes), 8);
  text("\n");
}

void main(void) {
  gate(0x2e, disk_entry);
  interrupts(1 << 14);
  out8(0x3f6, 4), out8(0x3f6, 0);
  wait_ready();
  number("signature", in8(0x1f2), 2), number("", in8(0x1f3), 2), number("", in8(0x1f4), 2), number("", in8(0x1f5), 2);
  number(" error", in8(0x1f1), 2), text("\n");
  count = 0;

  command(0xe0, 0, 0, 0xec);
  wait_interrupt();
  ins16(0x1f0, data, 256);
  u16 *id = (u16 *)data;
  number("cylinders", id[1], 4), number(" heads", id[3], 4), number(" sectors", id[6], 4);
  number(" lba", id[60] | id[61] << 16, 8), number(" has lba", id[49] >> 9 & 1, 1), text("\n");

  command(0xe0, 0, 1, 0x20);
  wait_interrupt();
  ins32(0x1f0, data, 128);
  line("sector 0", 512);

  command(0xe0, 3, 4, 0x20);
  for (int i = 0; i < 4; i++) {
    wait_interrupt();
    ins16(0x1f0, data + 512 * i, 256);
  }
  line("sectors 3-6", 4 * 512);
  number("interrupts left", count, 1), text("\n");

  command(0xe0, 0, 8, 0xc6);
  wait_interrupt();
  command(0xe0, 1, 11, 0xc4);
  wait_interrupt();
  ins32(0x1f0, data, 8 * 128);
  wait_interrupt();
  ins32(0x1f0, data + 8 * 512, 3 * 128);
  line("sectors 1-11 in blocks of 8", 11 * 512);

  command(0xa1, 5 | 0 << 8, 1, 0x20); /* cylinder 0, head 1, sector 5 */
  wait_interrupt();
  ins16(0x1f0, data, 256);
  line("head 1, sector 5", 512);

  for (u32 i = 0; i < 1024; i++) data[i] = i * 7;
  command(0xe0, 9, 2, 0x30);
  while (!(in8(0x3f6) & 8)) continue;
  outs16(0x1f0, data, 256);
  wait_interrupt();
  line("first sector written", 0);
  outs32(0x1f0, data + 512, 128);
  wait_interrupt();
  line("second sector written", 0);
  command(0xe0, 0, 0, 0xe7);
  wait_interrupt();
  line("cache flushed", 0);
  for (u32 i = 0; i < 2048; i++) data[i] = 0;
  command(0xe0, 8, 4, 0xc4);
  wait_interrupt();
  ins16(0x1f0, data, 1024);
  line("sectors 8-11", 4 * 512);

  command(0xe0, 0, 1, 0xa1);
  wait_interrupt();
  number("a packet command: error", in8(0x1f1), 2);
  line("", 0);

  out8(0x3f6, 2);
  command(0xe0, 2, 1, 0x20);
  while (!(in8(0x3f6) & 8)) continue;
  ins16(0x1f0, data, 256);
  number("without interrupts:", count, 1), line("", 512);
  out8(0x3f6, 0);

  out8(0x1f6, 0xf0);
  number("slave:", in8(0x1f7), 2);
  command(0xf0, 1, 1, 0x20);
  wait_interrupt();
  ins16(0x1f0, data, 256);
  line("", 512);
  finish(0);
}
