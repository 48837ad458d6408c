/* Timer interrupts: own tables, remapped controllers, a counter on the screen and on the serial line. */
#include "tables.h"

static volatile u32 ticks;
static void isr_handler(struct registers *r) {
  printf("exception %u at %8x\n", r->number, r->eip);
  for (;;) __asm__ volatile("cli; hlt");
}
static void irq_handler(struct registers *r) {
  if (r->number == 32) ticks++;
}

static void timer_install(u32 hz) {
  u32 divisor = 1193180 / hz;
  outb(0x43, 0x36);
  outb(0x40, divisor & 0xFF);
  outb(0x40, divisor >> 8);
}
static void sleep(u32 count) {
  u32 until = ticks + count;
  while (ticks < until) __asm__ volatile("hlt");
}

void kernel_main(void) {
  term_clear();
  serial_init();
  gdt_install();
  idt_install();
  timer_install(100);
  outb(0x21, 0xFE);
  __asm__ volatile("sti");
  puts("timer runs\n");
  for (int i = 1; i <= 8; i++) {
    sleep(5);
    printf("tick %u\n", i * 5);
  }
  u32 before = ticks;
  __asm__ volatile("cli");
  printf("stopped, ticks %s\n", before >= 40 && before < 60 ? "as expected" : "OFF");
  __asm__ volatile("sti; int $0x20");
  puts("software interrupt 0x20 counted\n");
  __asm__ volatile("cli; ud2");
}
