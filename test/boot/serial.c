/* Echoes what comes in at COM1, in capitals, by receive interrupts with FIFO; ends at a full stop. */
#include "print.h"

static volatile u8 last;
__attribute__((used)) static void on_serial(void) {
  while (in8(0x3fd) & 1) {
    u8 c = in8(0x3f8);
    if (c >= 'a' && c <= 'z') c -= 32;
    while (!(in8(0x3fd) & 0x20)) continue;
    out8(0x3f8, c);
    last = c;
  }
  out8(0x20, 0x20);
}
HANDLER(serial_entry, on_serial);

void main(void) {
  gate(0x24, serial_entry);
  interrupts(1 << 4);
  out8(0x3f9, 0);
  out8(0x3fb, 0x80), out8(0x3f8, 1), out8(0x3f9, 0);
  out8(0x3fb, 3), out8(0x3fa, 0xc7), out8(0x3fc, 0x0b);
  number("com2", in8(0x2fd), 2), text("\n");
  out8(0x3f9, 1);
  while (last != '.') asm volatile("sti; hlt; cli" : : : "memory");
  finish(2);
}
