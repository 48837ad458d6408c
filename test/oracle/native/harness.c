/*
 * Executes test cases on the real CPU in 32-bit user mode and reports what they did.
 *
 * How: every case ends in an exception (the code area is filled with HLT, which faults in user mode), so one signal
 * handler is the whole loop: it writes down the state that the kernel saved, prepares memory for the next case, puts
 * the next state into the signal frame and returns. All registers, ESP and the segment registers included, belong to
 * the case; the handler has its own stack.
 * No C library: its thread pointer lives in GS, which cases change.
 * Input on fd 0 and output on fd 1 are described in ../native.ts.
 * Build: gcc -m32 -O2 -static -nostdlib -ffreestanding -fno-pic -no-pie -fno-stack-protector -mgeneral-regs-only
 *        -Wl,-Ttext-segment=0x70000000 harness.c
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define DATA_AT 0x00100000u
#define DATA_RW_BYTES 0x2000u
#define DATA_BYTES 0x3000u
#define CODE_AT 0x00400000u
#define CODE_BYTES 0x2000u
#define BUFFER_BYTES (96u << 20)
#define HLT 0xf4
#define MXCSR_AT 24
#define EFLAGS_PLAIN 0x202
#define EFLAGS_STICKY 0x00204000u /* ID and NT: sigreturn does not load them, the flags at its call stay */

enum { SYS_exit = 1, SYS_read = 3, SYS_write = 4, SYS_munmap = 91, SYS_setitimer = 104, SYS_modify_ldt = 123,
       SYS_mprotect = 125, SYS_rt_sigreturn = 173, SYS_rt_sigaction = 174, SYS_sigaltstack = 186, SYS_mmap2 = 192,
       SYS_memfd_create = 356, SYS_ftruncate = 93 };
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 16, MAP_ANON = 32 };

static int call6(int n, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f) {
  int result;
  u32 args[2] = {n, f};
  __asm__ volatile("push %%ebp; mov 4(%1), %%ebp; mov (%1), %%eax; int $0x80; pop %%ebp"
                   : "=a"(result) : "0"(args), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
  return result;
}
#define call3(n, a, b, c) call6(n, (u32)(a), (u32)(b), (u32)(c), 0, 0, 0)

/* Layout of what the kernel saves for a 32-bit signal frame. */
struct context {
  u16 gs, gsh, fs, fsh, es, esh, ds, dsh;
  u32 edi, esi, ebp, esp, ebx, edx, ecx, eax, trapno, err, eip;
  u16 cs, csh;
  u32 eflags, esp_at_signal;
  u16 ss, ssh;
  u32 fpstate, oldmask, cr2;
};
struct ucontext {
  u32 flags, link, stack_sp, stack_flags, stack_size;
  struct context m;
};
struct sigaction32 {
  void *handler;
  u32 flags;
  void *restorer;
  u32 mask[2];
};

/* One case: this head, then codeBytes of code, then patches (u32 at, u32 count, bytes), padded to 4. */
struct input {
  u32 bytes;
  u32 regs[8];
  u32 eflags, eip;
  u16 seg[6];
  u32 codeAt, codeBytes, patches;
};
/* One outcome: this head, then runs of changed bytes (u32 at, u32 count, bytes), each padded to 4. */
struct output {
  u32 regs[8];
  u32 eflags, eip;
  u16 seg[6];
  u32 vector, error, cr2, runs;
};

static u8 image[DATA_BYTES];
static u8 *in, *out;
static u8 *code_alias;
static u32 in_bytes, out_bytes, remaining;
static struct input *current;
static u32 ticks_at_current;
static u8 handler_stack[65536] __attribute__((aligned(16)));
static u8 start_stack[16384] __attribute__((aligned(16), used));
u32 sticky_flags = EFLAGS_PLAIN;

static void copy(u8 *to, const u8 *from, u32 count) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}
static void fill(u8 *to, u8 value, u32 count) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}
static void leave(int status) {
  for (;;) call3(SYS_exit, status, 0, 0);
}
static void flush_and_leave(void) {
  u32 done = 0;
  while (done < out_bytes) {
    int n = call3(SYS_write, 1, out + done, out_bytes - done);
    if (n <= 0) leave(3);
    done += n;
  }
  leave(0);
}

/* Appends the runs of bytes that differ from the image, and undoes them. */
static u32 collect_changes(void) {
  u8 *memory = (u8 *)DATA_AT;
  u32 runs = 0, at = 0;
  while (at < DATA_RW_BYTES) {
    if (*(u32 *)(memory + at) == *(u32 *)(image + at)) {
      at += 4;
      continue;
    }
    while (memory[at] == image[at]) at++;
    u32 end = at + 1;
    while (end < DATA_RW_BYTES && memory[end] != image[end]) end++;
    ((u32 *)(out + out_bytes))[0] = DATA_AT + at;
    ((u32 *)(out + out_bytes))[1] = end - at;
    copy(out + out_bytes + 8, memory + at, end - at);
    copy(memory + at, image + at, end - at);
    out_bytes += 8 + ((end - at + 3) & ~3u);
    runs++;
    at = end & ~3u;
  }
  return runs;
}

/* The patches of a case go into memory and into the image, so that they do not count as changes. */
static u8 patched[256][16];
static void apply_patches(struct input *c, int undo) {
  u8 *p = (u8 *)(c + 1) + ((c->codeBytes + 3) & ~3u);
  for (u32 i = 0; i < c->patches; i++) {
    u32 at = *(u32 *)p - DATA_AT, count = *(u32 *)(p + 4);
    if (at + count > DATA_BYTES || count > 16 || i >= 256) leave(4);
    if (!undo) copy(patched[i], image + at, count);
    p += 8 + ((count + 3) & ~3u);
  }
  /* Undo in reverse would matter only for overlapping patches, which the generator does not make. */
  p = (u8 *)(c + 1) + ((c->codeBytes + 3) & ~3u);
  for (u32 i = 0; i < c->patches; i++) {
    u32 at = *(u32 *)p - DATA_AT, count = *(u32 *)(p + 4);
    copy(image + at, undo ? patched[i] : p + 8, count);
    if (at < DATA_RW_BYTES) copy((u8 *)DATA_AT + at, image + at, count);
    p += 8 + ((count + 3) & ~3u);
  }
}

static void record(struct context *m, u32 vector) {
  struct output *o = (struct output *)(out + out_bytes);
  u32 regs[8] = {m->eax, m->ecx, m->edx, m->ebx, m->esp, m->ebp, m->esi, m->edi};
  u16 seg[6] = {m->es, m->cs, m->ss, m->ds, m->fs, m->gs};
  if (out_bytes + DATA_RW_BYTES * 4 > BUFFER_BYTES) leave(5);
  for (int i = 0; i < 8; i++) o->regs[i] = regs[i];
  for (int i = 0; i < 6; i++) o->seg[i] = seg[i];
  o->eflags = m->eflags;
  o->eip = m->eip;
  o->vector = vector;
  /* MXCSR lies in the image that the kernel has saved, behind the 112 bytes of the old one. */
  o->error = vector == 19 ? *(u32 *)(m->fpstate + 112 + MXCSR_AT) : m->err;
  o->cr2 = vector == 14 ? m->cr2 : 0;
  out_bytes += sizeof *o;
  o->runs = collect_changes();
  apply_patches(current, 1);
  fill(code_alias + (current->codeAt - CODE_AT), HLT, current->codeBytes);
}

static void prepare(struct context *m) {
  struct input *c = current;
  copy(code_alias + (c->codeAt - CODE_AT), (u8 *)(c + 1), c->codeBytes);
  apply_patches(c, 0);
  m->eax = c->regs[0];
  m->ecx = c->regs[1];
  m->edx = c->regs[2];
  m->ebx = c->regs[3];
  m->esp = m->esp_at_signal = c->regs[4];
  m->ebp = c->regs[5];
  m->esi = c->regs[6];
  m->edi = c->regs[7];
  m->es = c->seg[0];
  m->cs = c->seg[1];
  m->ss = c->seg[2];
  m->ds = c->seg[3];
  m->fs = c->seg[4];
  m->gs = c->seg[5];
  m->eip = c->eip;
  m->eflags = c->eflags;
  sticky_flags = EFLAGS_PLAIN | (c->eflags & EFLAGS_STICKY);
}

void on_signal(int signal, void *info, struct ucontext *u) {
  (void)info;
  if (signal == 14) { /* SIGALRM: a case that is still the same one tick later does not end by itself */
    if (current == 0 || ++ticks_at_current < 2) return;
  }
  if (current != 0) {
    record(&u->m, signal == 14 ? 255 : u->m.trapno);
    current = (struct input *)((u8 *)current + current->bytes);
    remaining--;
  } else current = (struct input *)in;
  ticks_at_current = 0;
  if (remaining == 0) flush_and_leave();
  prepare(&u->m);
}

/* NT, AC and ID of the case are still set when the handler starts. */
extern void signal_entry(void), signal_return(void), start_on_own_stack(void);
__asm__(
    "signal_entry:\n"
    "  pushl $0x202\n"
    "  popfl\n"
    "  jmp on_signal\n"
    "signal_return:\n"
    "  pushl sticky_flags\n"
    "  popfl\n"
    "  movl $173, %eax\n"
    "  int $0x80\n"
    ".globl _start\n"
    "_start:\n"
    "  movl $start_stack + 16384, %esp\n"
    "  call run\n");

static void read_all(u8 *to, u32 limit) {
  for (;;) {
    int n = call3(SYS_read, 0, to + in_bytes, limit - in_bytes);
    if (n < 0) leave(2);
    if (n == 0) return;
    in_bytes += n;
  }
}

static u32 map(u32 at, u32 bytes, int prot, int flags, int fd) {
  int result = call6(SYS_mmap2, at, bytes, prot, flags, fd, 0);
  if (result < 0 && result > -4096) leave(6);
  return result;
}

void run(void) {
  /* A memory file mapped twice: the code of cases is not writable for them. */
  int fd = call3(SYS_memfd_create, "code", 0, 0);
  call3(SYS_ftruncate, fd, CODE_BYTES, 0);
  map(CODE_AT, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd);
  code_alias = (u8 *)map(0x60000000, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd);
  fill(code_alias, HLT, CODE_BYTES);
  in = (u8 *)map(0x50000000, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1);
  out = (u8 *)map(0x58000000, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1);
  read_all(in, BUFFER_BYTES);

  /* Head: number of cases, number of LDT entries, the entries (struct user_desc), the image of the data area. */
  remaining = ((u32 *)in)[0];
  u32 entries = ((u32 *)in)[1];
  in += 8;
  for (u32 i = 0; i < entries; i++, in += 16)
    if (call3(SYS_modify_ldt, 0x11, in, 16) != 0) leave(7);
  copy(image, in, DATA_BYTES);
  in += DATA_BYTES;
  map(DATA_AT, DATA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1);
  copy((u8 *)DATA_AT, image, DATA_BYTES);
  call3(SYS_mprotect, DATA_AT + DATA_RW_BYTES, DATA_BYTES - DATA_RW_BYTES, PROT_READ);

  /* SS_AUTODISARM: the kernel takes this stack even if the ESP of a case happens to lie in it. */
  u32 stack[3] = {(u32)handler_stack, 0x80000000u, sizeof handler_stack};
  call3(SYS_sigaltstack, stack, 0, 0);
  struct sigaction32 action = {signal_entry, 0x0c000004 /* ONSTACK RESTORER SIGINFO */, signal_return, {~0u, ~0u}};
  static const u8 signals[] = {4, 5, 7, 8, 11, 14};
  for (u32 i = 0; i < sizeof signals; i++) call6(SYS_rt_sigaction, signals[i], (u32)&action, 0, 8, 0, 0);
  u32 second[4] = {1, 0, 1, 0};
  call3(SYS_setitimer, 0, second, 0);
  __asm__ volatile("ud2");
}
