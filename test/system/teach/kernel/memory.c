/* Pages, page tables, segments. Every process has the kernel in the upper half of its space, in 4 KiB pages. */
#include "kernel.h"

#define P_PRESENT 1
#define P_WRITE 2
#define P_USER 4
#define P_UNCACHED 0x18
#define P_LARGE 0x80

extern char kernel_data[], kernel_end[];

/* ---------------------------------------------------------------- pages */

struct free { struct free *next; };
static struct spinlock memory = {.name = "memory"};
static struct free *first_free;
static int locking; /* not while there is one CPU without local APIC */

void page_free(void *page) {
  if ((u32)page % PAGE || (char *)page < kernel_end || TO_PHYS(page) >= PHYS_TOP) panic("page_free");
  fill(page, 1, PAGE); /* whoever still uses it finds out */
  struct free *f = page;
  if (locking) lock(&memory);
  f->next = first_free;
  first_free = f;
  if (locking) unlock(&memory);
}
void *page_new(void) {
  if (locking) lock(&memory);
  struct free *f = first_free;
  if (f) first_free = f->next;
  if (locking) unlock(&memory);
  return f;
}
void pages_add(char *from, char *to) {
  for (char *p = (char *)PAGE_UP(from); p + PAGE <= to; p += PAGE) page_free(p);
}
void pages_lock(void) { locking = 1; }

/* ---------------------------------------------------------------- segments */

static void segment(u32 *entry, u32 base, u32 limit, u32 access, u32 flags) {
  entry[0] = (limit & 0xffff) | base << 16;
  entry[1] = (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | flags << 20 | (base & 0xff000000);
}
void segments_init(void) {
  struct cpu *c = this_cpu();
  segment(c->gdt[SEL_KCODE / 8], 0, 0xfffff, 0x9a, 0xc);
  segment(c->gdt[SEL_KDATA / 8], 0, 0xfffff, 0x92, 0xc);
  segment(c->gdt[SEL_KCPU / 8], (u32)&c->self, 7, 0x92, 0x4);
  segment(c->gdt[SEL_UCODE / 8], 0, 0xfffff, 0xfa, 0xc);
  segment(c->gdt[SEL_UDATA / 8], 0, 0xfffff, 0xf2, 0xc);
  load_table(c->gdt, sizeof c->gdt, 0);
  load_gs(SEL_KCPU);
  c->self = c;
  c->process = NULL;
}

/* ---------------------------------------------------------------- page tables */

u32 boot_directory[1024] __attribute__((aligned(PAGE))) = {
    [0] = P_PRESENT | P_WRITE | P_LARGE,
    [KERNEL_BASE >> 22] = P_PRESENT | P_WRITE | P_LARGE,
};
static u32 *kernel_directory;

static u32 *entry_of(u32 *directory, u32 at, int make) {
  u32 *d = &directory[at >> 22];
  if (!(*d & P_PRESENT)) {
    u32 *table = make ? page_new() : NULL;
    if (!table) return NULL;
    fill(table, 0, PAGE);
    *d = TO_PHYS(table) | P_PRESENT | P_WRITE | P_USER; /* the entries of the table restrict it */
  }
  return (u32 *)TO_VIRT(*d & ~(PAGE - 1)) + (at >> 12 & 1023);
}
static int map(u32 *directory, u32 at, u32 bytes, u32 physical, u32 how) {
  for (u32 a = PAGE_DOWN(at), last = PAGE_DOWN(at + bytes - 1);; a += PAGE, physical += PAGE) {
    u32 *e = entry_of(directory, a, 1);
    if (!e) return -1;
    if (*e & P_PRESENT) panic("mapped twice");
    *e = physical | how | P_PRESENT;
    if (a == last) return 0;
  }
}
static const struct { u32 at, from, to, how; } kernel_maps[] = {
    {KERNEL_BASE, 0, EXTENDED, P_WRITE},
    {KERNEL_BASE + EXTENDED, EXTENDED, 0 /* kernel_data */, 0},
    {0 /* kernel_data */, 0, PHYS_TOP, P_WRITE},
    {DEVICES, DEVICES, 0, P_WRITE | P_UNCACHED},
};
u32 *space_new(void) {
  u32 *directory = page_new();
  if (!directory) return NULL;
  fill(directory, 0, PAGE);
  for (u32 i = 0; i < 4; i++) {
    u32 at = kernel_maps[i].at, from = kernel_maps[i].from, to = kernel_maps[i].to;
    if (i == 1) to = TO_PHYS(kernel_data);
    if (i == 2) from = TO_PHYS(at = (u32)kernel_data);
    if (map(directory, at, to - from, from, kernel_maps[i].how) < 0) {
      space_free(directory);
      return NULL;
    }
  }
  return directory;
}
void kernel_space_init(void) {
  kernel_directory = space_new();
  use_kernel_space();
}
void use_kernel_space(void) { load_root(TO_PHYS(kernel_directory)); }
void use_space(struct process *p) {
  irq_push();
  struct cpu *c = this_cpu();
  segment(c->gdt[SEL_TSS / 8], (u32)&c->tss, sizeof c->tss - 1, 0x89, 0x4);
  c->tss.ss0 = SEL_KDATA;
  c->tss.esp0 = (u32)p->stack + KSTACK;
  c->tss.io_map = 0xffff; /* beyond the limit: user mode has no ports */
  load_task(SEL_TSS);
  load_root(TO_PHYS(p->directory));
  irq_pop();
}

u32 space_shrink(u32 *directory, u32 from, u32 to) {
  if (to >= from) return from;
  for (u32 at = PAGE_UP(to); at < from; at += PAGE) {
    u32 *e = entry_of(directory, at, 0);
    if (!e) {
      at = (((at >> 22) + 1) << 22) - PAGE;
    } else if (*e & P_PRESENT) {
      page_free(TO_VIRT(*e & ~(PAGE - 1)));
      *e = 0;
    }
  }
  return to;
}
u32 space_grow(u32 *directory, u32 from, u32 to) {
  if (to >= KERNEL_BASE) return 0;
  if (to < from) return from;
  for (u32 at = PAGE_UP(from); at < to; at += PAGE) {
    char *page = page_new();
    if (page && map(directory, at, PAGE, TO_PHYS(fill(page, 0, PAGE)), P_WRITE | P_USER) == 0) continue;
    if (page) page_free(page);
    space_shrink(directory, at, from);
    return 0;
  }
  return to;
}
void space_free(u32 *directory) {
  space_shrink(directory, KERNEL_BASE, 0);
  for (u32 i = 0; i < 1024; i++) {
    if (directory[i] & P_PRESENT) page_free(TO_VIRT(directory[i] & ~(PAGE - 1)));
  }
  page_free(directory);
}
void space_first(u32 *directory, const char *code, u32 bytes) {
  char *page = page_new();
  fill(page, 0, PAGE);
  map(directory, 0, PAGE, TO_PHYS(page), P_WRITE | P_USER);
  copy(page, code, bytes);
}
/* Takes a page from user mode: the guard below a stack. */
void space_hide(u32 *directory, u32 at) { *entry_of(directory, at, 0) &= ~P_USER; }

u32 *space_copy(u32 *directory, u32 size) {
  u32 *made = space_new();
  if (!made) return NULL;
  for (u32 at = 0; at < size; at += PAGE) {
    u32 *e = entry_of(directory, at, 0);
    if (!e || !(*e & P_PRESENT)) panic("space_copy");
    char *page = page_new();
    if (page) copy(page, TO_VIRT(*e & ~(PAGE - 1)), PAGE);
    if (page && map(made, at, PAGE, TO_PHYS(page), *e & (P_WRITE | P_USER)) == 0) continue;
    if (page) page_free(page);
    space_free(made);
    return NULL;
  }
  return made;
}
/* Where the kernel finds a page that user mode may use. */
void *space_page(u32 *directory, u32 at) {
  u32 *e = entry_of(directory, at, 0);
  if (!e || (*e & (P_PRESENT | P_USER)) != (P_PRESENT | P_USER)) return NULL;
  return TO_VIRT(*e & ~(PAGE - 1));
}
int space_put(u32 *directory, u32 at, const void *from, u32 bytes) {
  for (const char *f = from; bytes > 0;) {
    char *page = space_page(directory, at);
    if (!page) return -1;
    u32 n = PAGE - at % PAGE < bytes ? PAGE - at % PAGE : bytes;
    copy(page + at % PAGE, f, n);
    f += n;
    at += n;
    bytes -= n;
  }
  return 0;
}
