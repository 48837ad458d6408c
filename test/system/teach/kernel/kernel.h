/* What the parts of the kernel know of each other. */
#include "asm.h"
#include "layout.h"

#define CPUS 8
#define PROCESSES 64
#define FILES 100     /* open in the whole system */
#define OPEN 16       /* open in one process */
#define BUFFERS 30
#define BLOCK 512
#define ARGUMENTS 16

#define TO_PHYS(a) ((u32)(a) - KERNEL_BASE)
#define TO_VIRT(a) ((void *)((u32)(a) + KERNEL_BASE))
#define PAGE_UP(a) (((u32)(a) + PAGE - 1) & ~(PAGE - 1))
#define PAGE_DOWN(a) ((u32)(a) & ~(PAGE - 1))
#define NULL ((void *)0)

struct spinlock { volatile u32 held; const char *name; struct cpu *cpu; };
struct sleeplock { struct spinlock guard; int held; };

/* What TRAP_ALL pushes, and the CPU before it. */
struct frame {
  u32 edi, esi, ebp, unused, ebx, edx, ecx, eax;
  u32 gs, fs, es, ds, vector, error, eip, cs, eflags, esp, ss;
};
struct context { u32 edi, esi, ebp, ebx, eip; };

struct task_segment {
  u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, registers[8], segments[6], ldt;
  u16 trace, io_map;
};
struct cpu {
  struct cpu *self; /* these two are at GS:0 and GS:4 */
  struct process *process;
  u8 apic_id;
  struct context *scheduler;
  struct task_segment tss;
  u32 gdt[7][2];
  volatile u32 started;
  int off_depth, was_on;
};

enum state { UNUSED, EMBRYO, SLEEPING, RUNNABLE, RUNNING, ZOMBIE };
struct process {
  u32 size; /* of its memory, from address 0 */
  u32 *directory;
  char *stack; /* in the kernel */
  enum state state;
  int id, status;
  struct process *parent;
  struct frame *frame;
  struct context *context;
  void *channel; /* what it sleeps for */
  volatile int killed;
  struct file *files[OPEN];
  char name[16];
};

struct buffer {
  volatile int valid, dirty;
  u32 number, users;
  struct sleeplock lock;
  struct buffer *next, *previous; /* by last use */
  struct buffer *waiting;         /* for the disk */
  u8 data[BLOCK];
};

/* boot.S */
extern char trap_return[], ap_code[], ap_code_end[], first_code[], first_code_end[], boot_stack[];
extern u32 trap_stubs[256], boot_info;
void switch_context(struct context **from, struct context *to);

/* machine.c */
extern struct cpu cpus[CPUS];
extern int cpu_count;
void mp_read(void), lapic_init(void), lapic_end(void), pic_init(void), ioapic_init(void);
int lapic_id(void);
void ioapic_enable(int irq, int cpu);
void ap_start(u8 apic_id, u32 at);

/* console.c */
void console_init(void), serial_init(void), serial_interrupt(void), keyboard_interrupt(void);
void print(const char *format, ...);
void panic(const char *why) __attribute__((noreturn));
int console_read(char *to, int count), console_write(const char *from, int count);

/* memory.c */
void pages_add(char *from, char *to), pages_lock(void), page_free(void *page);
void *page_new(void);
void segments_init(void), kernel_space_init(void), use_kernel_space(void), use_space(struct process *p);
u32 *space_new(void), *space_copy(u32 *directory, u32 size);
u32 space_grow(u32 *directory, u32 from, u32 to), space_shrink(u32 *directory, u32 from, u32 to);
void space_free(u32 *directory), space_first(u32 *directory, const char *code, u32 bytes);
void space_hide(u32 *directory, u32 at);
void *space_page(u32 *directory, u32 at);
int space_put(u32 *directory, u32 at, const void *from, u32 bytes);

/* process.c */
void irq_push(void), irq_pop(void), lock(struct spinlock *l), unlock(struct spinlock *l);
void sleep_lock(struct sleeplock *l), sleep_unlock(struct sleeplock *l);
struct cpu *this_cpu(void);
struct process *self(void);
void first_process(void), scheduler(void) __attribute__((noreturn)), yield(void);
void sleep(void *channel, struct spinlock *l), wakeup(void *channel);
int fork(void), wait(int *status), kill(int id), grow(int bytes);
void exit(int status) __attribute__((noreturn));
extern int idle_halts;

/* disk.c */
void disk_init(void), disk_interrupt(void), buffers_init(void);
struct buffer *block_read(u32 number);
void block_write(struct buffer *b), block_release(struct buffer *b);

/* files.c */
void files_init(void);
struct inode *inode_find(const char *name);
void inode_lock(struct inode *i), inode_unlock(struct inode *i), inode_release(struct inode *i);
int inode_read(struct inode *i, void *to, u32 at, u32 count);
struct file *file_share(struct file *f);
void file_close(struct file *f);
int file_read(struct file *f, char *to, int count), file_write(struct file *f, const char *from, int count);
int file_open(const char *name, int how, struct file **f), file_unlink(const char *name), file_size(struct file *f);
int pipe_new(struct file **reader, struct file **writer);

/* trap.c, calls.c */
extern struct spinlock ticks_lock;
extern volatile u32 ticks;
void traps_init(void), traps_load(void);
void system_call(void);
int exec(const char *path, char *const *arguments);

/* Strings. */
static inline void *fill(void *to, int value, u32 count) {
  if ((u32)to % 4 == 0 && count % 4 == 0) fill_words(to, (value & 0xff) * 0x01010101u, count / 4);
  else fill_bytes(to, value, count);
  return to;
}
static inline void copy(void *to, const void *from, u32 count) {
  u8 *t = to;
  const u8 *f = from;
  if (f < t && f + count > t) {
    while (count--) t[count] = f[count];
  } else {
    while (count--) *t++ = *f++;
  }
}
static inline int same(const char *a, const char *b, u32 most) {
  for (; most--; a++, b++) {
    if (*a != *b) return 0;
    if (!*a) return 1;
  }
  return 1;
}
static inline void copy_text(char *to, const char *from, u32 room) {
  while (--room && *from) *to++ = *from++;
  *to = 0;
}
static inline u32 length(const char *s) {
  u32 n = 0;
  while (s[n]) n++;
  return n;
}
