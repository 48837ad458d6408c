/* Instructions that C has no words for. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

static inline u8 in8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
  return value;
}
static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "d"(port)); }
static inline void in_words(u16 port, void *to, u32 count) {
  __asm__ volatile("cld; rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory", "cc");
}
static inline void out_words(u16 port, const void *from, u32 count) {
  __asm__ volatile("cld; rep outsl" : "+S"(from), "+c"(count) : "d"(port) : "cc");
}
static inline void fill_bytes(void *to, int value, u32 count) {
  __asm__ volatile("cld; rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory", "cc");
}
static inline void fill_words(void *to, u32 value, u32 count) {
  __asm__ volatile("cld; rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory", "cc");
}
static inline void load_table(const void *base, u32 bytes, int interrupts) {
  volatile u16 pointer[3] = {bytes - 1, (u32)base, (u32)base >> 16};
  if (interrupts) __asm__ volatile("lidt (%0)" : : "r"(pointer));
  else __asm__ volatile("lgdt (%0)" : : "r"(pointer));
}
static inline void load_task(u16 selector) { __asm__ volatile("ltr %0" : : "r"(selector)); }
static inline void load_gs(u16 selector) { __asm__ volatile("movw %0, %%gs" : : "r"(selector)); }
static inline void load_root(u32 root) { __asm__ volatile("movl %0, %%cr3" : : "r"(root) : "memory"); }
static inline u32 fault_address(void) {
  u32 value;
  __asm__ volatile("movl %%cr2, %0" : "=r"(value));
  return value;
}
static inline u32 eflags(void) {
  u32 value;
  __asm__ volatile("pushfl; popl %0" : "=r"(value));
  return value;
}
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline u32 exchange(volatile u32 *at, u32 value) {
  u32 old;
  __asm__ volatile("lock; xchgl %0, %1" : "+m"(*at), "=a"(old) : "1"(value) : "cc", "memory");
  return old;
}
#define FLAG_IF 0x200
