/* An SMP kernel: finds the other CPUs in the MP table, starts them, and has all of them work together.
 * Everything it prints is the same on every machine with as many CPUs. Sources: MultiProcessor Specification 1.4;
 * SDM volume 3, chapters 8 and 10; Intel 82093AA data sheet. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define CPUS_MAX 8
#define AP_PAGE 0x7000
#define SHARED_PAGE 0x40000000u /* a 4 KiB page that is mapped here and there */
#define VECTOR_IPI 0x50
#define VECTOR_SHOOT 0x51
#define VECTOR_TIMER 0x60
#define VECTOR_PIT 0x70
#define VECTOR_SPURIOUS 0xff

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 in8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline void pause(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline u32 add_locked(volatile u32 *at, u32 value) {
  __asm__ volatile("lock xaddl %0, %1" : "+r"(value), "+m"(*at) : : "memory");
  return value;
}

/* ---------------------------------------------------------------- text on port 0xE9 */

static void putch(char c) { out8(0xe9, c); }
static void text(const char *s) {
  while (*s) putch(*s++);
}
static void number(u32 value, u32 base) {
  if (value >= base) number(value / base, base);
  putch("0123456789abcdef"[value % base]);
}
static void line(const char *what, u32 value, u32 base) {
  text(what);
  putch(' ');
  number(value, base);
  putch('\n');
}
static void verdict(const char *what, int ok) {
  text(what);
  text(ok ? ": ok\n" : ": WRONG\n");
}

/* ---------------------------------------------------------------- machine */

struct frame {
  u32 edi, esi, ebp, esp0, ebx, edx, ecx, eax;
  u32 vector, error, eip, cs, eflags;
};
extern char stubs[], ap_code[], ap_code_end[];
void *ap_stack;
static char stacks[CPUS_MAX][8192] __attribute__((aligned(16)));
static u32 idt[256][2] __attribute__((aligned(8)));
static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));
static u32 pages[2][1024] __attribute__((aligned(4096)));

static volatile u32 *lapic, *ioapic;
static u32 cpus, ioapic_id, pit_pin = 99;
static u8 apic_ids[CPUS_MAX];

static volatile u32 up, phase, done;
static volatile u32 ipis[CPUS_MAX], ticks[CPUS_MAX], nmis[CPUS_MAX], shots[CPUS_MAX], pits[CPUS_MAX];

static u32 me(void) { return lapic[0x20 / 4] >> 24; }

void trap(struct frame *f) {
  u32 id = me();
  switch (f->vector) {
    case 2: nmis[id]++; return;
    case VECTOR_IPI: ipis[id]++; break;
    case VECTOR_SHOOT: __asm__ volatile("invlpg (%0)" : : "r"(SHARED_PAGE) : "memory"); shots[id]++; break;
    case VECTOR_TIMER: ticks[id]++; break;
    case VECTOR_PIT: pits[id]++; break;
    case VECTOR_SPURIOUS: return;
    default:
      line("unexpected vector", f->vector, 10);
      line("at", f->eip, 16);
      out32(0xf4, 1);
  }
  lapic[0xb0 / 4] = 0;
}

static void tables_install(void) {
  for (u32 n = 0; n < 256; n++) {
    u32 at = (u32)stubs + 16 * n;
    idt[n][0] = 0x08 << 16 | (at & 0xffff);
    idt[n][1] = (at & 0xffff0000) | 0x8e00;
  }
  for (u32 i = 0; i < 4; i++) directory[i] = i << 22 | 0x83;
  directory[0xfec00000 >> 22] = 0xfec00000 | 0x93; /* the APICs, not cached */
  directory[SHARED_PAGE >> 22] = (u32)table | 3;
  table[0] = (u32)pages[0] | 3;
}

static void cpu_install(void) {
  struct { u16 limit; u32 base; } __attribute__((packed)) pointer = {sizeof idt - 1, (u32)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));
  u32 cr4, cr0;
  __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
  __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 0x10));
  __asm__ volatile("mov %0, %%cr3" : : "r"(directory));
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  __asm__ volatile("mov %0, %%cr0" : : "r"((cr0 & ~0x60000000u) | 0x80010000u) : "memory");
}

static void lapic_install(void) {
  lapic[0xf0 / 4] = 0x100 | VECTOR_SPURIOUS;
  lapic[0xe0 / 4] = 0xffffffff;         /* flat model */
  lapic[0xd0 / 4] = 1u << me() << 24;
  lapic[0x350 / 4] = 0x10000;
  lapic[0x360 / 4] = 0x10000;
  lapic[0x80 / 4] = 0;
}

/* A busy wait that takes long enough everywhere: the 8254 counts 1193 times a millisecond. */
static void delay(u32 count) {
  out8(0x61, (in8(0x61) & ~2) | 1);
  out8(0x43, 0xb0);
  out8(0x42, count & 0xff);
  out8(0x42, count >> 8);
  while (!(in8(0x61) & 0x20)) pause();
}

/* ---------------------------------------------------------------- the MP table */

static u32 sum(const u8 *p, u32 n) {
  u32 s = 0;
  while (n--) s += *p++;
  return s & 0xff;
}
static const u8 *find_pointer(u32 from, u32 bytes) {
  for (const u8 *p = (const u8 *)from; p < (const u8 *)from + bytes; p += 16) {
    if (*(const u32 *)p == 0x5f504d5f && sum(p, 16) == 0) return p;
  }
  return 0;
}
static void read_table(void) {
  const u8 *pointer = find_pointer(*(volatile u16 *)0x40e << 4, 1024);
  if (!pointer) pointer = find_pointer((*(volatile u16 *)0x413 - 1) << 10, 1024);
  if (!pointer) pointer = find_pointer(0xf0000, 0x10000);
  verdict("floating pointer", pointer != 0);
  const u8 *head = (const u8 *)*(const u32 *)(pointer + 4);
  u32 bytes = *(const u16 *)(head + 4), entries = *(const u16 *)(head + 34);
  verdict("table", *(const u32 *)head == 0x504d4350 && sum(head, bytes) == 0);
  verdict("imcr absent", !(pointer[12] & 0x80));
  lapic = (volatile u32 *)*(const u32 *)(head + 36);
  line("local apic", (u32)lapic, 16);
  u32 isa = 99;
  for (const u8 *p = head + 44; entries--;) {
    switch (p[0]) {
      case 0:
        if (p[3] & 2) verdict("boot cpu is the first", cpus == 0);
        if (p[3] & 1) apic_ids[cpus++] = p[1];
        p += 20;
        break;
      case 1:
        if (p[2] == 'I' && p[3] == 'S' && p[4] == 'A') isa = p[1];
        p += 8;
        break;
      case 2:
        ioapic_id = p[1];
        ioapic = (volatile u32 *)*(const u32 *)(p + 4);
        p += 8;
        break;
      case 3:
        if (p[1] == 0 && p[4] == isa && p[5] == 0) pit_pin = p[7];
        p += 8;
        break;
      default: p += 8;
    }
  }
  line("io apic", (u32)ioapic, 16);
  line("cpus", cpus, 10);
  line("timer on pin", pit_pin, 10);
}

/* ---------------------------------------------------------------- inter-processor interrupts */

static void send(u32 low, u32 destination) {
  lapic[0x310 / 4] = destination << 24;
  lapic[0x300 / 4] = low;
  while (lapic[0x300 / 4] & 0x1000) pause();
}
static void start(u32 id) {
  ap_stack = stacks[id] + sizeof stacks[id];
  out8(0x70, 0x0f);
  out8(0x71, 0x0a);
  *(volatile u16 *)0x467 = 0;
  *(volatile u16 *)0x469 = AP_PAGE >> 4;
  send(0xc500, id);
  delay(240);
  send(0x8500, id);
  delay(12000);
  for (int i = 0; i < 2; i++) {
    send(0x4600 | AP_PAGE >> 12, id);
    delay(240);
  }
}
static u32 total(volatile u32 *counts) {
  u32 s = 0;
  for (u32 i = 0; i < cpus; i++) s += counts[apic_ids[i]];
  return s;
}

/* ---------------------------------------------------------------- what all CPUs do together */

static struct { volatile u32 next, serving; } lock;
static u32 guarded;
static void lock_take(void) {
  u32 ticket = add_locked(&lock.next, 1);
  while (lock.serving != ticket) pause();
}
static void lock_give(void) { lock.serving++; }

static char order[64];
static u32 written;
static volatile u32 turn;

/* Where every CPU waits for the next thing to do. */
static void meet(u32 *seen) {
  add_locked(&done, 1);
  ++*seen;
  while (phase != *seen) pause();
}

static void count_together(void) {
  for (int i = 0; i < 1000; i++) {
    lock_take();
    u32 value = *(volatile u32 *)&guarded;
    if (i % 100 == 0) for (int k = 0; k < 50; k++) pause();
    *(volatile u32 *)&guarded = value + 1;
    lock_give();
  }
}
static void write_in_turns(u32 index) {
  for (u32 round = 0; round < 3; round++) {
    while (turn != round * cpus + index) pause();
    order[written++] = '0' + index;
    turn++;
  }
}
static volatile u32 seen_ticks[CPUS_MAX], counts_down[CPUS_MAX];
static void run_timer(u32 id) {
  sti();
  lapic[0x3e0 / 4] = 0x0b; /* divide by 1 */
  lapic[0x320 / 4] = 0x20000 | VECTOR_TIMER;
  lapic[0x380 / 4] = 1000000;
  u32 first = lapic[0x390 / 4];
  counts_down[id] = first <= 1000000;
  while (ticks[id] < 5) __asm__ volatile("sti; hlt");
  lapic[0x320 / 4] = 0x10000;
  lapic[0x380 / 4] = 0;
  for (int i = 0; i < 1000; i++) pause();
  cli();
  seen_ticks[id] = ticks[id];
  /* Once, and not again. */
  ticks[id] = 0;
  sti();
  lapic[0x320 / 4] = VECTOR_TIMER;
  lapic[0x3e0 / 4] = 0x03; /* divide by 16 */
  lapic[0x380 / 4] = 20000;
  while (ticks[id] == 0) __asm__ volatile("sti; hlt");
  for (int i = 0; i < 20000; i++) pause();
  cli();
  counts_down[id] += lapic[0x390 / 4] == 0 && ticks[id] == 1;
}

static volatile u32 first_read[CPUS_MAX], second_read[CPUS_MAX], called[CPUS_MAX][2];
static volatile u32 go;
static volatile u8 made_code[] __attribute__((aligned(16))) = {0xb8, 0x11, 0x11, 0x11, 0x11, 0xc3}; /* mov, ret */
static u32 call_made(void) {
  u32 value;
  __asm__ volatile("xor %%eax, %%eax; cpuid" : "=a"(value) : : "ebx", "ecx", "edx", "memory"); /* serialize */
  __asm__ volatile("call *%1" : "=a"(value) : "r"(made_code) : "memory");
  return value;
}

void ap_main(void) {
  cpu_install();
  lapic_install();
  u32 id = me(), seen = 0, index = 0;
  while (apic_ids[index] != id) index++;
  up = id;
  meet(&seen);
  count_together();
  meet(&seen);
  write_in_turns(index);
  meet(&seen);
  /* Interrupts: the boot CPU sends, the others count, asleep or awake. */
  sti();
  while (phase == seen) {
    if (index & 1) pause();
    else __asm__ volatile("hlt");
  }
  cli();
  add_locked(&done, 1);
  seen += 2;
  while (phase != seen) pause();
  run_timer(id);
  meet(&seen);
  /* Shoot-down: read through the old mapping, then through the new one. */
  sti();
  first_read[id] = *(volatile u32 *)SHARED_PAGE;
  add_locked(&go, 1);
  while (shots[id] == 0) pause();
  second_read[id] = *(volatile u32 *)SHARED_PAGE;
  cli();
  meet(&seen);
  called[id][0] = call_made();
  meet(&seen);
  called[id][1] = call_made();
  meet(&seen);
  sti();
  for (;;) __asm__ volatile("hlt");
}

/* Waits until all others have come to the end of their phase; starts the next one. */
static void wait_for_others(void) {
  while (done != cpus - 1) pause();
  done = 0;
}
static void next_phase(void) {
  wait_for_others();
  phase++;
}

static void test_messages(void) {
  u32 mine = me(), ok = 1;
  sti();
  /* One by one. */
  for (u32 i = 1; i < cpus; i++) {
    send(0x4000 | VECTOR_IPI, apic_ids[i]);
    while (ipis[apic_ids[i]] != 1) pause();
    ok &= total(ipis) == i;
  }
  verdict("physical destination", ok);
  u32 before = total(ipis);
  send(0xc4000 | VECTOR_IPI, 0);
  while (total(ipis) != before + cpus - 1) pause();
  verdict("all but self", ipis[mine] == 0);
  send(0x44000 | VECTOR_IPI, 0);
  while (ipis[mine] != 1) pause();
  verdict("self", 1);
  before = total(ipis);
  send(0x84000 | VECTOR_IPI, 0);
  while (total(ipis) != before + cpus) pause();
  verdict("all", ipis[mine] == 2);
  before = total(ipis);
  u32 mask = 0;
  for (u32 i = 0; i < cpus; i++) mask |= 1u << apic_ids[i];
  send(0x4800 | VECTOR_IPI, mask & ~(1u << mine));
  while (total(ipis) != before + cpus - 1) pause();
  verdict("logical destination", ipis[mine] == 2);
  before = total(ipis);
  send(0x4900 | VECTOR_IPI, mask);
  while (total(ipis) == before) pause();
  delay(2000);
  verdict("lowest priority", total(ipis) == before + 1);
  if (cpus > 1) {
    u32 other = apic_ids[1];
    send(0x4400, other);
    while (nmis[other] != 1) pause();
    verdict("nmi", total(nmis) == 1);
  }
  /* The task priority holds back what is not above it. */
  before = ipis[mine];
  lapic[0x80 / 4] = VECTOR_IPI | 0xf;
  send(0x44000 | VECTOR_IPI, 0);
  for (int i = 0; i < 1000; i++) pause();
  u32 held = ipis[mine] == before && (lapic[(0x200 + 0x10 * (VECTOR_IPI / 32)) / 4] >> (VECTOR_IPI % 32) & 1);
  lapic[0x80 / 4] = 0;
  while (ipis[mine] == before) pause();
  verdict("task priority", held);
  cli();
}

/* Every kind of instruction can access a device. */
static void test_accesses(void) {
  u32 id = lapic[0x20 / 4], value, buffer[2] = {1, 2};
  __asm__ volatile("pushl %1; popl %0" : "=r"(value) : "m"(lapic[0x20 / 4]));
  u32 ok = value == id;
  lapic[0x80 / 4] = 0x20;
  __asm__ volatile("orl $0x10, %0" : "+m"(lapic[0x80 / 4]));
  __asm__ volatile("addl $1, %0" : "+m"(lapic[0x80 / 4]));
  ok &= lapic[0x80 / 4] == 0x31;
  value = 0x42;
  __asm__ volatile("xchgl %0, %1" : "+r"(value), "+m"(lapic[0x80 / 4]));
  ok &= value == 0x31 && lapic[0x80 / 4] == 0x42;
  const volatile u32 *from = &lapic[0x80 / 4];
  u32 *to = buffer;
  __asm__ volatile("cld; movsl" : "+S"(from), "+D"(to) : : "memory");
  ok &= buffer[0] == 0x42 && buffer[1] == 2;
  volatile u32 *at = &lapic[0x80 / 4];
  u32 count = 1;
  __asm__ volatile("rep stosl" : "+D"(at), "+c"(count) : "a"(0x17) : "memory");
  ok &= lapic[0x80 / 4] == 0x17 && count == 0;
  __asm__ volatile("cmpl $0x17, %1; sete %b0" : "=q"(value) : "m"(lapic[0x80 / 4]));
  ok &= value & 1;
  lapic[0x80 / 4] = 0;
  verdict("accesses", ok);
  line("lapic version", lapic[0x30 / 4] & 0xff, 16);
  line("lapic entries", (lapic[0x30 / 4] >> 16 & 0xff) + 1, 10);
  ioapic[0] = 1;
  line("io apic entries", (ioapic[4] >> 16 & 0xff) + 1, 10);
  ioapic[0] = 0;
  verdict("io apic identity", (ioapic[4] >> 24 & 15) == ioapic_id);
}

/* The 8254 through the I/O APIC, to the last CPU: its edges come as messages. */
static void test_io_apic(void) {
  u32 target = apic_ids[cpus - 1];
  out8(0x43, 0x34);
  out8(0x40, 0x88);
  out8(0x40, 0x13); /* 5000 counts: 4.2 ms */
  ioapic[0] = 0x11 + 2 * pit_pin;
  ioapic[4] = target << 24;
  ioapic[0] = 0x10 + 2 * pit_pin;
  ioapic[4] = VECTOR_PIT;
  sti();
  while (pits[target] < 3) pause();
  ioapic[4] = 0x10000;
  cli();
  verdict("timer through the io apic", total(pits) == pits[target]);
}

void boot_main(void) {
  text("begin\n");
  pages[0][0] = 111;
  pages[1][0] = 222;
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
  tables_install();
  read_table();
  cpu_install();
  lapic_install();
  test_accesses();
  for (u32 i = 0; i < (u32)(ap_code_end - ap_code); i++) ((volatile u8 *)AP_PAGE)[i] = ap_code[i];
  for (u32 i = 1; i < cpus; i++) {
    start(apic_ids[i]);
    while (up != apic_ids[i]) pause();
    line("up: cpu", i, 10);
  }
  next_phase();
  count_together();
  next_phase();
  line("counted", guarded, 10);
  write_in_turns(0);
  next_phase();
  text(order);
  putch('\n');
  test_messages();
  /* Those that sleep need an interrupt to see the next phase. */
  test_io_apic();
  phase++;
  send(0xc4000 | VECTOR_IPI, 0);
  while (done != cpus - 1) {
    send(0xc4000 | VECTOR_IPI, 0);
    delay(1000);
  }
  done = 0;
  phase++;
  run_timer(me());
  next_phase();
  u32 ok = 1;
  for (u32 i = 0; i < cpus; i++) ok &= seen_ticks[apic_ids[i]] >= 5 && counts_down[apic_ids[i]] == 2;
  verdict("timers", ok);
  ok = 1;
  while (go != cpus - 1) pause();
  table[0] = (u32)pages[1] | 3;
  __asm__ volatile("invlpg (%0)" : : "r"(SHARED_PAGE) : "memory");
  if (cpus > 1) send(0xc4000 | VECTOR_SHOOT, 0);
  next_phase();
  for (u32 i = 1; i < cpus; i++) ok &= first_read[apic_ids[i]] == 111 && second_read[apic_ids[i]] == 222;
  verdict("shoot-down", ok && *(volatile u32 *)SHARED_PAGE == 222);
  wait_for_others();
  ok = 1;
  for (u32 i = 1; i < cpus; i++) ok &= called[apic_ids[i]][0] == 0x11111111;
  made_code[1] = 0x22;
  phase++;
  wait_for_others();
  for (u32 i = 1; i < cpus; i++) ok &= called[apic_ids[i]][1] == 0x11111122;
  verdict("code made by another cpu", ok);
  text("end\n");
  out32(0xf4, 0);
  for (;;) __asm__ volatile("cli; hlt");
}
