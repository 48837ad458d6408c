/* A shell that waits for a key that nobody presses. */
#include "tables.h"

static volatile u8 last;
static void isr_handler(struct registers *r) { printf("exception %u\n", r->number); }
static void irq_handler(struct registers *r) {
  if (r->number != 33) return;
  last = inb(0x60);
  printf("scan code %2x\n", last);
}

static void wait_input(void) {
  while (inb(0x64) & 2) continue;
}
static void drain(void) {
  while (inb(0x64) & 1) inb(0x60);
}

static void set_command_byte(u8 value) {
  wait_input();
  outb(0x64, 0x60);
  wait_input();
  outb(0x60, value);
}

void kernel_main(void) {
  term_clear();
  serial_init();
  gdt_install();
  idt_install();
  wait_input();
  outb(0x64, 0xAD);
  wait_input();
  outb(0x64, 0xA7);
  drain();
  set_command_byte(0x40);
  wait_input();
  outb(0x64, 0xAA);
  while (!(inb(0x64) & 1)) continue;
  printf("controller test: %2x\n", inb(0x60));
  wait_input();
  outb(0x64, 0xAB);
  while (!(inb(0x64) & 1)) continue;
  printf("first port test: %2x\n", inb(0x60));
  wait_input();
  outb(0x64, 0xAE);
  set_command_byte(0x41);
  drain();
  outb(0x21, 0xFD);
  __asm__ volatile("sti");
  puts("> ");
  for (;;) {
    while (!last) __asm__ volatile("hlt");
    last = 0;
  }
}
