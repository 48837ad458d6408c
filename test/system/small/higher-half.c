/* A kernel that runs at 0xC0100000: the boot code maps it by a 4 MiB page, then drops the identity mapping. */
#define VGA_BASE 0xC00B8000
#include "tables.h"

extern u32 boot_page_directory[1024];
extern char kernel_start[], kernel_end[];

static int faults;
static void isr_handler(struct registers *r) {
  u32 cr2;
  __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
  printf("exception %u, error %x, address %8x\n", r->number, r->error, cr2);
  /* The faulting instruction is MOV EAX,[EAX]: two bytes. */
  if (++faults < 4) r->eip += 2;
  else for (;;) __asm__ volatile("cli; hlt");
}
static void irq_handler(struct registers *r) { (void)r; }

static u32 touch(u32 address) {
  u32 value = address;
  __asm__ volatile("mov (%0), %0" : "+a"(value));
  return value;
}

void kernel_main(u32 magic, u32 *info) {
  term_clear();
  serial_init();
  gdt_install();
  idt_install();
  printf("magic %x, kernel at %s\n", magic, (u32)kernel_start >= 0xC0100000 ? "the higher half" : "THE LOWER HALF");
  u32 *lower = (u32 *)((u32)info + 0xC0000000);
  printf("flags and lower memory: %x %u\n", lower[0] & 1, lower[1] >= 600 && lower[1] <= 640 ? 1 : 0);
  touch(0x00100000);
  touch(0x00000000);
  touch(0xDEADBEEC);
  /* Another 4 MiB page, by hand. */
  boot_page_directory[0xD0000000 >> 22] = 0x400083;
  __asm__ volatile("invlpg (%0)" : : "r"(0xD0000000) : "memory");
  volatile u32 *window = (volatile u32 *)0xD0000000;
  for (u32 i = 0; i < 1024; i++) window[i * 1024] = i;
  u32 sum = 0;
  for (u32 i = 0; i < 1024; i++) sum += window[i * 1024];
  printf("sum over the new page: %u, entry %x\n", sum, boot_page_directory[0xD0000000 >> 22] & 0xFFF);
  puts("done\n");
}
