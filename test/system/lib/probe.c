/* Tables, traps and text of the probe kernels. */
#include "probe.h"

struct regs r;
struct frame seen;
u32 seen_cr2;
struct tss tss __attribute__((aligned(4096)));
u32 gdt[64][2] __attribute__((aligned(4096)));
u32 idt[256][2] __attribute__((aligned(4096)));
u32 ldt[16][2] __attribute__((aligned(8)));
int (*hooks[128])(struct frame *f);
char stack0[STACK_BYTES] __attribute__((aligned(4096)));
char stack1[STACK_BYTES] __attribute__((aligned(4096)));
char stack2[STACK_BYTES] __attribute__((aligned(4096)));
char stack3[STACK_BYTES] __attribute__((aligned(4096)));
char trap_stack[STACK_BYTES] __attribute__((aligned(4096)));
static u32 code_start;

void set_descriptor(u32 table[][2], u32 selector, u32 base, u32 limit, u32 attributes, u32 flags) {
  u32 *d = table[selector >> 3];
  d[0] = base << 16 | (limit & 0xffff);
  d[1] = (base & 0xff000000) | flags << 20 | (limit & 0xf0000) | attributes << 8 | (base >> 16 & 0xff);
}

void set_gate(u32 vector, u32 selector, u32 offset, u32 attributes) {
  idt[vector][0] = selector << 16 | (offset & 0xffff);
  idt[vector][1] = (offset & 0xffff0000) | attributes << 8;
}

void set_call_gate(u32 table[][2], u32 selector, u32 target, u32 offset, u32 attributes, u32 parameters) {
  table[selector >> 3][0] = target << 16 | (offset & 0xffff);
  table[selector >> 3][1] = (offset & 0xffff0000) | attributes << 8 | parameters;
}

void setup_tables(void) {
  set_descriptor(gdt, KCODE, 0, 0xfffff, CODE_XR(0), BIG | GRANULAR);
  set_descriptor(gdt, KDATA, 0, 0xfffff, DATA_RW(0), BIG | GRANULAR);
  set_descriptor(gdt, UCODE, 0, 0xfffff, CODE_XR(3), BIG | GRANULAR);
  set_descriptor(gdt, UDATA, 0, 0xfffff, DATA_RW(3), BIG | GRANULAR);
  set_descriptor(gdt, TSSSEL, (u32)&tss, sizeof tss - 1, 0x89, 0);
  set_descriptor(gdt, CODE1, 0, 0xfffff, CODE_XR(1), BIG | GRANULAR);
  set_descriptor(gdt, DATA1, 0, 0xfffff, DATA_RW(1), BIG | GRANULAR);
  set_descriptor(gdt, CODE2, 0, 0xfffff, CODE_XR(2), BIG | GRANULAR);
  set_descriptor(gdt, DATA2, 0, 0xfffff, DATA_RW(2), BIG | GRANULAR);
  set_descriptor(gdt, LDTSEL, (u32)ldt, sizeof ldt - 1, 0x82, 0);
  lgdt((u32)gdt, sizeof gdt - 1);
}

void setup_task(void) {
  for (u32 n = 0; n < 128; n++) set_gate(n, KCODE, (u32)stubs + 16 * n, n == DONE || n == 3 || n == 4 ? 0xee : 0x8e);
  lidt((u32)idt, sizeof idt - 1);
  tss.ss0 = KDATA;
  tss.esp0 = (u32)trap_stack + STACK_BYTES;
  tss.ss1 = DATA1;
  tss.esp1 = (u32)stack1 + STACK_BYTES;
  tss.ss2 = DATA2;
  tss.esp2 = (u32)stack2 + STACK_BYTES;
  tss.iomap = 104;
  for (u32 i = 0; i < sizeof tss.map; i++) tss.map[i] = 0xff;
  asm volatile("ltr %w0" : : "r"(TSSSEL));
  asm volatile("lldt %w0" : : "r"(0));
  /* The timer of the BIOS must not come in: both interrupt controllers are masked. */
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
  put("begin\n");
}

int trap(struct frame *f) {
  u32 cr2 = f->vector == 14 ? read_cr2() : 0;
  if (f->vector < 128 && hooks[f->vector] && !hooks[f->vector](f)) return 0;
  seen = *f;
  seen_cr2 = cr2;
  return 1;
}

/* Registers for a start in `ring`: flat segments, recognizable values, interrupts off. */
void fresh(int ring) {
  static const u32 code[] = {KCODE, CODE1, CODE2, UCODE}, data[] = {KDATA, DATA1, DATA2, UDATA};
  char *stack[] = {stack0, stack1, stack2, stack3};
  r.eax = 0xaaaa0001, r.ecx = 0xcccc0002, r.edx = 0xdddd0003, r.ebx = 0xbbbb0004;
  r.esi = 0x51510005, r.edi = 0xd1d10006, r.ebp = 0xbebe0007;
  r.esp = (u32)stack[ring] + STACK_BYTES - 512;
  r.gs = r.fs = r.es = r.ds = r.ss = data[ring];
  r.cs = code[ring];
  r.eflags = 2;
}

void enter_probe(struct regs *start);

void run(const char *code) {
  code_start = (u32)code;
  r.eip = (u32)code;
  enter_probe(&r);
}

/* ---------------------------------------------------------------- text */

static void putch(char c) { out8(0xe9, c); }

static void digits(u32 value, u32 base, u32 width) {
  char text[16];
  u32 n = 0;
  do {
    text[n++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  while (n < width) text[n++] = '0';
  while (n) putch(text[--n]);
}

/* %s string, %x hex, %w 4 hex digits, %l 8 hex digits, %d unsigned decimal. */
void put(const char *format, ...) {
  u32 *argument = (u32 *)&format;
  for (; *format; format++) {
    if (*format != '%') {
      putch(*format);
      continue;
    }
    u32 value = *++argument;
    switch (*++format) {
      case 's': for (const char *s = (const char *)value; *s; s++) putch(*s); break;
      case 'x': digits(value, 16, 1); break;
      case 'w': digits(value & 0xffff, 16, 4); break;
      case 'l': digits(value, 16, 8); break;
      case 'd': digits(value, 10, 1); break;
      default: putch(*format);
    }
  }
}

static const char *const names[] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9", "TS", "NP", "SS", "GP",
                                    "PF", "15", "MF", "AC", "MC", "XF"};

void show(const char *name) {
  put("%s: ", name);
  u32 v = seen.vector;
  if (v == DONE) put("ok");
  else if (v < 20) put("#%s", names[v]);
  else put("vector %x", v);
  if (seen.error != 0xffffffff) put("(%w)", seen.error);
  if (v == 14) put(" cr2=%l", seen_cr2);
  u32 distance = seen.eip - code_start;
  if (distance < 0x1000) put(" +%x", distance);
  else put(" eip=%l", seen.eip);
}

void check(const char *name, const char *code, int ring) {
  fresh(ring);
  run(code);
  show(name);
  put("\n");
}

void finish(u32 code) {
  put("end\n");
  out32(0xf4, code);
  for (const char *s = "Shutdown"; *s; s++) out8(0x8900, *s);
  for (;;) asm volatile("cli; hlt");
}

/* gcc may call these. */
void *memset(void *to, int value, unsigned n) {
  for (char *p = to; n--;) *p++ = value;
  return to;
}
void *memcpy(void *to, const void *from, unsigned n) {
  char *p = to;
  for (const char *q = from; n--;) *p++ = *q++;
  return to;
}
