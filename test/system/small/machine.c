/* Looks around: CPU, coprocessor, clock, CMOS, PCI, timers, serial port, keyboard controller, cursor. */
#include "tables.h"

static void isr_handler(struct registers *r) {
  printf("exception %u\n", r->number);
  for (;;) __asm__ volatile("cli; hlt");
}
static void irq_handler(struct registers *r) { (void)r; }

static u8 cmos(u8 index) {
  outb(0x70, index);
  return inb(0x71);
}
static int has_cpuid(void) {
  u32 before, after;
  __asm__ volatile("pushf; pop %0; mov %0, %1; xor $0x200000, %1; push %1; popf; pushf; pop %1" : "=&r"(before), "=&r"(after));
  return ((before ^ after) & 0x200000) != 0;
}
static int is_bcd(u8 v) { return (v & 15) < 10 && v >> 4 < 10; }

void kernel_main(void) {
  term_clear();
  serial_init();
  gdt_install();
  idt_install();
  printf("cpuid: %s\n", has_cpuid() ? "yes" : "no");
  u32 eax = 0, ebx, ecx, edx;
  char vendor[13] = {0};
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
  *(u32 *)vendor = ebx, *(u32 *)(vendor + 4) = edx, *(u32 *)(vendor + 8) = ecx;
  printf("vendor: %s\n", vendor);
  eax = 1;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
  printf("family: %u\n", eax >> 8 & 15);
  printf("fpu: %u\n", edx & 1);
  printf("pse: %u, tsc: %u, msr: %u, cx8: %u, pge: %u, cmov: %u\n", edx >> 3 & 1, edx >> 4 & 1, edx >> 5 & 1, edx >> 8 & 1,
         edx >> 13 & 1, edx >> 15 & 1);
  printf("apic: %u\n", edx >> 9 & 1);
  u32 cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~0xCu));
  u16 status = 0x5A5A;
  __asm__ volatile("fninit; fnstsw %0" : "+m"(status));
  printf("fpu status: %x\n", status);
  u32 low1, low2, high;
  __asm__ volatile("rdtsc" : "=a"(low1), "=d"(high));
  for (volatile int i = 0; i < 1000; i++) continue;
  __asm__ volatile("rdtsc" : "=a"(low2), "=d"(high));
  printf("time stamp counts: %s\n", low2 - low1 > 500 ? "yes" : "no");
  u8 century = cmos(9);
  printf("rtc: bcd %s, seconds %s, month %s, year %s\n", cmos(0x0B) & 4 ? "no" : "yes", is_bcd(cmos(0)) ? "ok" : "BAD",
         is_bcd(cmos(8)) && cmos(8) >= 1 && cmos(8) <= 0x12 ? "ok" : "BAD", is_bcd(century) ? "ok" : "BAD");
  printf("rtc status: A %2x B %2x D %2x\n", cmos(0x0A) & 0x7F, cmos(0x0B), cmos(0x0D));
  printf("cmos base memory: %u KiB\n", cmos(0x15) | cmos(0x16) << 8);
  printf("cmos extended memory: %u KiB\n", cmos(0x17) | cmos(0x18) << 8);
  printf("cmos diskettes: %2x\n", cmos(0x10));
  printf("cmos equipment: %2x\n", cmos(0x14));
  outl(0xCF8, 0x80000000);
  u32 echoed = inl(0xCF8), first = inl(0xCFC);
  printf("pci: %s\n", echoed == 0x80000000 && first != 0xFFFFFFFF ? "yes" : "no");
  outb(0x43, 0x34), outb(0x40, 0xFF), outb(0x40, 0xFF);
  outb(0x43, 0x00);
  u32 count1 = inb(0x40);
  count1 |= inb(0x40) << 8;
  for (volatile int i = 0; i < 200000; i++) continue;
  outb(0x43, 0x00);
  u32 count2 = inb(0x40);
  count2 |= inb(0x40) << 8;
  printf("pit counts: %s\n", count1 != count2 ? "yes" : "no");
  outb(0x43, 0xC2 | 0x20);
  printf("pit read-back: %2x\n", inb(0x40) & 0x3F);
  outb(0x3F8 + 7, 0xAE);
  printf("uart scratch: %2x\n", inb(0x3F8 + 7));
  while (!(inb(0x3F8 + 5) & 0x40)) continue;
  outb(0x3F8 + 4, 0x1E);
  outb(0x3F8, 0xA5);
  while (!(inb(0x3F8 + 5) & 1)) continue;
  u8 looped = inb(0x3F8);
  outb(0x3F8 + 4, 0x0B);
  printf("uart loopback: %2x, identification %2x, line %2x\n", looped, inb(0x3F8 + 2), inb(0x3F8 + 5));
  printf("second uart: %s\n", inb(0x2F8 + 5) == 0xFF ? "no" : "yes");
  printf("pic masks: %2x %2x\n", inb(0x21), inb(0xA1));
  outb(0x3D4, 0x0E);
  u32 cursor = inb(0x3D5) << 8;
  outb(0x3D4, 0x0F);
  cursor |= inb(0x3D5);
  printf("cursor: row %u\n", cursor / 80);
  printf("keyboard controller: %s\n", inb(0x64) == 0xFF ? "no" : "yes");
  printf("a20: %s\n", *(volatile u32 *)0x100000 == *(volatile u32 *)0x000000 ? "off" : "on");
  printf("absent port: %2x\n", inb(0x5555));
  puts("end\n");
}
