/* Random code, one step at a time, in ring 3 or ring 0: the same steps, registers and memory on every machine.
 * Command line: seed=N count=N ring=0|3 clean=0|1 (clean: no byte 0F, so no instruction that tells a deprivileged kernel). */
#include "probe.h"

#define P 1
#define W 2
#define U 4
#define WINDOW 0x40000000
#define PAGES 16
#define FRAMES 0x400000
#define STEPS 64

static u32 pd[1024] __attribute__((aligned(4096)));
static u32 pt[1024] __attribute__((aligned(4096)));
static u32 state, steps, hash;

static u32 random(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}
static void mix(u32 value) { hash = (hash ^ value) * 0x01000193; }

static u32 option(const char *line, const char *name, u32 otherwise) {
  for (; *line; line++) {
    const char *a = line, *b = name;
    while (*b && *a == *b) a++, b++;
    if (*b || *a != '=') continue;
    u32 value = 0;
    for (a++; *a >= '0' && *a <= '9'; a++) value = value * 10 + *a - '0';
    return value;
  }
  return otherwise;
}

/* CF and so on are hashed only where no instruction leaves them undefined; it is the machine's own affair elsewhere. */
static int on_step(struct frame *f) {
  mix(f->eip), mix(f->eax), mix(f->ecx), mix(f->edx), mix(f->ebx), mix(f->esi), mix(f->edi), mix(f->ebp);
  mix(f->eflags & ~0x10000), mix(f->ds & 0xffff), mix(f->es & 0xffff), mix(f->cs & 0xffff);
  return ++steps >= STEPS;
}

/* Opcodes worth more than their share. */
static const u8 likely[] = {0x8b, 0x89, 0x01, 0x29, 0x33, 0x3b, 0x50, 0x58, 0xff, 0xa4, 0xa5, 0xab, 0xaa, 0xf3, 0x66, 0x67,
                            0xc3, 0xe8, 0x74, 0x75, 0xeb, 0xc9, 0xc8, 0x60, 0x61, 0x8e, 0x8c, 0x1f, 0x07, 0xcb, 0x9a, 0xea,
                            0x9c, 0xf7, 0xf6, 0xd3, 0xc1, 0x87, 0x86, 0x0f, 0x0f, 0x8d, 0x83, 0x81, 0x80, 0x64, 0x26, 0x2e,
                            0xca, 0xc2, 0xcd, 0xcc, 0xce, 0x62, 0x63, 0xc4, 0xc5, 0xf0, 0xe2, 0xe3, 0xd7, 0x6a, 0x68, 0x69};
/* Instructions that would take the steps away, ask the clock or the devices, or stop for good. */
static const u8 banned[] = {0x9d, 0xcf, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f, 0xf4, 0x31};

static u8 code_byte(u32 clean) {
  for (;;) {
    u32 draw = random();
    u8 byte = draw & 0x10000 ? likely[draw % sizeof likely] : draw >> 3;
    if (clean && byte == 0x0f) continue;
    int ok = 1;
    for (u32 i = 0; i < sizeof banned; i++) ok &= byte != banned[i];
    if (ok) return byte;
  }
}

static u32 value(void) {
  u32 draw = random();
  switch (draw >> 28 & 7) {
    case 0: return draw & 0xff;
    case 1: return draw;
    case 2: return WINDOW + (random() & 0xfff) + 4096 * (draw % PAGES) - 2;
    case 3: return SLOT(draw % 12) | (draw >> 8 & 3);
    default: return WINDOW + (random() & (PAGES * 4096 - 1));
  }
}

static void attempt(int ring, u32 clean) {
  for (u32 i = 0; i < PAGES; i++) {
    u32 rights = random();
    pt[i] = (FRAMES + i * 4096) | (i < 6 ? P | W | U : rights & 7);
  }
  write_cr3(read_cr3());
  u32 at = FRAMES + (random() % 3) * 4096 + (random() & 1 ? 0xff0 : 0x200);
  for (u32 i = 0; i < 96; i++) ((u8 *)at)[i] = code_byte(clean);
  fresh(ring);
  r.eax = value(), r.ecx = random() & 1 ? random() & 31 : value(), r.edx = value(), r.ebx = value();
  r.esi = value(), r.edi = value(), r.ebp = value();
  r.esp = WINDOW + 5 * 4096 - 256 - (random() & 3);
  r.eflags = 0x102 | (random() & 0x8d5) | (random() & 3 ? 0 : 0x400) | IF;
  steps = 0;
  run((const char *)(at - FRAMES + WINDOW));
  mix(seen.vector), mix(seen.error), mix(seen.eip), mix(seen.cs & 0xffff), mix(seen.eax), mix(seen.ecx), mix(seen.edx);
  mix(seen.ebx), mix(seen.esi), mix(seen.edi), mix(seen.ebp), mix(seen.vector == 14 ? seen_cr2 : 0);
  if (ring) mix(seen.esp), mix(seen.ss & 0xffff);
}

void kernel_main(u32 magic, u32 *info) {
  (void)magic;
  const char *line = info[0] & 4 ? (const char *)info[4] : "";
  u32 seed = option(line, "seed", 1), count = option(line, "count", 200), clean = option(line, "clean", 0);
  int ring = option(line, "ring", 3);
  state = seed * 0x9e3779b9 | 1;
  for (u32 i = 0; i < 4; i++) pd[i] = i << 22 | 0x80 | P | W;
  pd[WINDOW >> 22] = (u32)pt | P | W | U;
  write_cr4(read_cr4() | 0x14);
  write_cr3((u32)pd);
  write_cr0((read_cr0() & ~0xe) | 0x80010004);
  for (u32 i = 0; i < 12; i++) {
    u32 draw = random();
    set_descriptor(gdt, SLOT(i), draw & 1 ? 0 : draw & 0xffffff, draw & 2 ? 0xfffff : draw >> 8 & 0xfffff,
                   draw >> 20 & 0x80 ? draw >> 24 | 0x10 | PRESENT : draw >> 24, draw >> 5 & 0xc);
    /* A TSS or a task gate would end the run. */
    if (!(gdt[SLOT(i) >> 3][1] & 0x1000)) gdt[SLOT(i) >> 3][1] &= ~0xf00;
  }
  hooks[1] = on_step;
  for (u32 i = 0; i < PAGES * 1024; i++) ((u32 *)FRAMES)[i] = i * 0x9e3779b9;
  for (u32 n = 0; n < count; n++) {
    attempt(ring, clean);
    if (n % 16 == 15) {
      for (u32 i = 0; i < PAGES * 1024; i++) mix(((u32 *)FRAMES)[i]);
      put("%d: %l\n", n + 1, hash);
    }
  }
}
