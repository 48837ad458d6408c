/* Paging by the book: a frame bitmap, 4 KiB page tables, a heap with kmalloc and kfree, and a page fault at the end. */
#include "tables.h"

#define FRAMES 4096 /* 16 MiB */
#define HEAP_START 0xC0000000
#define HEAP_PAGES 64

static u32 bitmap[FRAMES / 32];
static u32 *directory;
extern char image_end[];

static void irq_handler(struct registers *r) { (void)r; }
static void isr_handler(struct registers *r) {
  u32 address;
  __asm__ volatile("mov %%cr2, %0" : "=r"(address));
  if (r->number != 14) {
    printf("exception %u\n", r->number);
    for (;;) __asm__ volatile("cli; hlt");
  }
  printf("Page fault! ( %s%s%s) at 0x%8x\n", r->error & 1 ? "protection " : "not-present ", r->error & 2 ? "write " : "read ",
         r->error & 4 ? "user " : "kernel ", address);
  puts("PANIC: page fault\n");
  for (;;) __asm__ volatile("cli; hlt");
}

static void frame_set(u32 frame) { bitmap[frame / 32] |= 1u << frame % 32; }
static void frame_clear(u32 frame) { bitmap[frame / 32] &= ~(1u << frame % 32); }
static u32 frame_take(void) {
  for (u32 i = 0; i < FRAMES / 32; i++) {
    if (bitmap[i] == 0xFFFFFFFF) continue;
    for (u32 b = 0; b < 32; b++) {
      if (bitmap[i] & 1u << b) continue;
      frame_set(i * 32 + b);
      return (i * 32 + b) * 4096;
    }
  }
  puts("out of frames\n");
  for (;;) __asm__ volatile("cli; hlt");
}

static void map(u32 address, u32 frame, u32 flags) {
  u32 *entry = &directory[address >> 22];
  if (!(*entry & 1)) {
    u32 *table = (u32 *)frame_take();
    for (u32 i = 0; i < 1024; i++) table[i] = 0;
    *entry = (u32)table | 7;
  }
  ((u32 *)(*entry & ~0xFFFu))[address >> 12 & 1023] = frame | flags | 1;
  __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void paging_install(void) {
  for (u32 frame = 0; frame < ((u32)image_end + 0xFFF) / 4096; frame++) frame_set(frame);
  directory = (u32 *)frame_take();
  for (u32 i = 0; i < 1024; i++) directory[i] = 0;
  /* Everything identical, so that tables can be reached; page 0 left out. */
  for (u32 frame = 1; frame < FRAMES; frame++) map(frame * 4096, frame * 4096, 2);
  __asm__ volatile("mov %0, %%cr3" : : "r"(directory));
  u32 cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | 0x80000000));
}

/* A heap of blocks with a header each; first fit, neighbours are joined. */
struct block {
  u32 size, used;
};
static u32 heap_end;
static void heap_install(void) {
  for (u32 i = 0; i < HEAP_PAGES; i++) map(HEAP_START + i * 4096, frame_take(), 2);
  heap_end = HEAP_START + HEAP_PAGES * 4096;
  struct block *first = (struct block *)HEAP_START;
  first->size = heap_end - HEAP_START - sizeof *first;
  first->used = 0;
}
static struct block *next(struct block *b) { return (struct block *)((u32)(b + 1) + b->size); }
static void *kmalloc(u32 size) {
  size = (size + 7) & ~7u;
  for (struct block *b = (struct block *)HEAP_START; (u32)b < heap_end; b = next(b)) {
    while (!b->used && (u32)next(b) < heap_end && !next(b)->used) b->size += sizeof *b + next(b)->size;
    if (b->used || b->size < size) continue;
    if (b->size >= size + sizeof *b + 8) {
      struct block *rest = (struct block *)((u32)(b + 1) + size);
      rest->size = b->size - size - sizeof *b;
      rest->used = 0;
      b->size = size;
    }
    b->used = 1;
    return b + 1;
  }
  return 0;
}
static void kfree(void *p) { ((struct block *)p - 1)->used = 0; }

void kernel_main(void) {
  term_clear();
  serial_init();
  gdt_install();
  idt_install();
  paging_install();
  puts("Hello, paging world!\n");
  heap_install();
  char *a = kmalloc(8), *b = kmalloc(8000), *c = kmalloc(100);
  printf("a: 0x%x, b: 0x%x, c: 0x%x\n", (u32)a, (u32)b, (u32)c);
  kfree(b);
  char *d = kmalloc(12);
  printf("freed b, d: 0x%x\n", (u32)d);
  kfree(a), kfree(c), kfree(d);
  u32 allocations = 0, seed = 1, kept[64];
  for (u32 i = 0; i < 64; i++) kept[i] = 0;
  for (u32 i = 0; i < 3000; i++) {
    seed = seed * 1103515245 + 12345;
    u32 slot = seed >> 16 & 63;
    if (kept[slot]) kfree((void *)kept[slot]);
    kept[slot] = (u32)kmalloc(seed >> 8 & 1023);
    if (kept[slot]) allocations++, *(u32 *)kept[slot] = seed;
  }
  printf("%u of 3000 allocations\n", allocations);
  for (u32 i = 0; i < 64; i++) if (kept[i]) kfree((void *)kept[i]);
  printf("all freed: one block of %u bytes\n", kmalloc(HEAP_PAGES * 4096 - sizeof(struct block)) ? HEAP_PAGES * 4096 - 8 : 0);
  frame_clear(FRAMES - 1);
  map(0xE0000000, (FRAMES - 1) * 4096, 2);
  *(volatile u32 *)0xE0000000 = 0xCAFE;
  printf("alias: 0x%x\n", *(volatile u32 *)((FRAMES - 1) * 4096));
  volatile u32 *nowhere = (volatile u32 *)0xA0000000;
  u32 value = *nowhere;
  printf("not reached %x\n", value);
}
