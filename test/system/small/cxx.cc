// C++ without optimization: classes, virtual functions, templates, constructors of globals, recursion, big frames.
extern "C" {
#include "term.h"
}

void *operator new(unsigned size);
void operator delete(void *) noexcept;
void operator delete(void *, unsigned) noexcept;
extern "C" void __cxa_pure_virtual() {
  puts("pure virtual call\n");
  for (;;) __asm__ volatile("cli; hlt");
}
extern "C" int __cxa_atexit(void (*)(void *), void *, void *) { return 0; }
void *__dso_handle;

static char arena[8192];
static unsigned arena_used;
static unsigned deleted;
void *operator new(unsigned size) {
  void *p = arena + arena_used;
  arena_used += (size + 7) & ~7u;
  return p;
}
void operator delete(void *) noexcept { deleted++; }
void operator delete(void *, unsigned) noexcept { deleted++; }

class Shape {
 public:
  virtual ~Shape() {}
  virtual const char *name() const = 0;
  virtual int area() const = 0;
};
class Square : public Shape {
  int side;

 public:
  explicit Square(int s) : side(s) {}
  const char *name() const override { return "square"; }
  int area() const override { return side * side; }
};
class Rectangle : public Shape {
  int width, height;

 public:
  Rectangle(int w, int h) : width(w), height(h) {}
  const char *name() const override { return "rectangle"; }
  int area() const override { return width * height; }
};

template <typename T, unsigned N>
class Stack {
  T items[N];
  unsigned used = 0;

 public:
  void push(const T &item) {
    if (used < N) items[used++] = item;
  }
  T pop() { return items[--used]; }
  unsigned size() const { return used; }
};

struct Global {
  int value;
  Global() : value(0) {
    for (int i = 1; i <= 10; i++) value += i;
  }
};
static Global global;

static int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

struct Big {
  int words[64];
};
static Big shift(Big b, int by) {
  Big out;
  for (int i = 0; i < 64; i++) out.words[i] = b.words[(i + by) & 63] + by;
  return out;
}

static long long multiply(long long a, long long b) { return a * b; }

extern "C" void (*init_array_start[])();
extern "C" void (*init_array_end[])();

extern "C" void kernel_main() {
  for (void (**f)() = init_array_start; f != init_array_end; f++) (*f)();
  term_clear();
  serial_init();
  printf("global constructed: %d\n", global.value);
  Shape *shapes[3] = {new Square(7), new Rectangle(3, 9), new Square(12)};
  int total = 0;
  for (Shape *shape : shapes) {
    printf("%s of area %d\n", shape->name(), shape->area());
    total += shape->area();
  }
  for (Shape *shape : shapes) delete shape;
  printf("total %d, deleted %d\n", total, deleted);
  Stack<int, 32> numbers;
  Stack<const char *, 4> words;
  for (int i = 0; i < 40; i++) numbers.push(i * i);
  words.push("first");
  words.push("second");
  printf("%d numbers, top %d, word %s\n", numbers.size(), numbers.pop(), words.pop());
  printf("ackermann(2, 9) = %d, ackermann(3, 4) = %d\n", ackermann(2, 9), ackermann(3, 4));
  Big big;
  for (int i = 0; i < 64; i++) big.words[i] = i;
  for (int i = 0; i < 20; i++) big = shift(big, i);
  unsigned sum = 0;
  for (int i = 0; i < 64; i++) sum = sum * 31 + big.words[i];
  printf("big %8x\n", sum);
  long long product = multiply(0x12345678LL, -0x1122334455LL);
  printf("product %8x%8x\n", (u32)(product >> 32), (u32)product);
  auto add = [&](int n) { return n + total; };
  printf("lambda %d\n", add(5));
}
