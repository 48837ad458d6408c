/* Many small tests, each in a process of its own: all, or those that are named. What they print does not depend on the
 * number of CPUs, on their speed, or on who runs first. */
#include "user.h"

#define PAGE 4096
#define KERNEL ((char *)0x80100000)
static char big[8192];
static char *const *argument_words;

static void check(int ok, const char *what) {
  if (ok) return;
  print(1, "  wrong: %s\n", what);
  exit(1);
}
/* Exit status of the next child that ends. */
static int result(void) {
  int status = 12345;
  check(wait(&status) > 0, "wait");
  return status;
}
static int child(void) {
  int id = fork();
  check(id >= 0, "fork");
  return id == 0;
}
/* A function that depends on every register and flag that a switch could spoil. */
static u32 compute(u32 seed, u32 rounds) {
  u32 a = seed, b = ~seed, c = seed * 3, d = 1;
  while (rounds--) {
    __asm__ volatile("addl %1, %0; adcl %2, %1; rorl $7, %2; sbbl %3, %0; rcll $1, %3; xchgl %1, %2"
                     : "+r"(a), "+r"(b), "+r"(c), "+r"(d) : : "cc");
  }
  return a ^ b ^ c ^ d;
}

/* ---------------------------------------------------------------- processes */

static void statuses(void) {
  for (int i = 0; i < 20; i++) {
    if (child()) exit(i * 1000);
    check(result() == i * 1000, "status");
  }
  int status;
  check(wait(&status) == -1, "wait without children");
}
static void forks(void) {
  for (int round = 0; round < 2; round++) {
    int n = 0, id;
    while ((id = fork()) > 0) n++;
    if (id == 0) exit(7);
    check(n > 20 && n < 64, "number of processes");
    for (int i = 0; i < n; i++) check(result() == 7, "status");
  }
}
static void tree(void) {
  int depth = 0, sum = 1;
  while (depth < 4) {
    int left = fork();
    if (left == 0) {
      depth++;
      continue;
    }
    check(left > 0, "fork");
    int right = fork();
    if (right == 0) {
      depth++;
      continue;
    }
    check(right > 0, "fork");
    sum = 1 + result() + result();
    break;
  }
  if (depth > 0) exit(sum);
  check(sum == 31, "number of processes");
}
static void orphans(void) {
  int ends[2];
  char c;
  check(pipe(ends) == 0, "pipe");
  for (int i = 0; i < 10; i++) {
    if (child()) {
      if (fork() == 0) {
        sleep(1);
        write(ends[1], "x", 1);
      }
      exit(0);
    }
    check(result() == 0, "status");
  }
  close(ends[1]);
  for (int i = 0; i < 10; i++) check(read(ends[0], &c, 1) == 1, "orphan");
  check(read(ends[0], &c, 1) == 0, "end");
}
static void kills(void) {
  int ends[2], ids[4], status;
  check(pipe(ends) == 0, "pipe");
  for (int kind = 0; kind < 4; kind++) {
    if ((ids[kind] = fork()) != 0) continue;
    char c;
    write(ends[1], "r", 1);
    for (;;) {
      if (kind == 0) continue;
      if (kind == 1) sleep(1000);
      if (kind == 2) read(ends[0], big, 0), yield();
      if (kind == 3) {
        int own[2];
        pipe(own);
        read(own[0], &c, 1);
      }
    }
  }
  for (int i = 0; i < 4; i++) check(read(ends[0], big, 1) == 1, "start");
  for (int i = 0; i < 4; i++) check(kill(ids[i]) == 0, "kill");
  for (int i = 0; i < 4; i++) {
    check(wait(&status) > 0, "wait");
    check(status == -1, "status");
  }
  check(kill(ids[0]) == -1 && kill(99999) == -1, "kill of nobody");
}
static void preemption(void) {
  /* Nobody gives the CPU away, and yet all get on. */
  int ends[2], ids[3];
  char c;
  check(pipe(ends) == 0, "pipe");
  for (int i = 0; i < 3; i++) {
    if ((ids[i] = fork()) == 0) {
      write(ends[1], "x", 1);
      for (;;) {}
    }
  }
  for (int i = 0; i < 3; i++) check(read(ends[0], &c, 1) == 1, "start");
  int before = uptime();
  while (uptime() < before + 3) {}
  for (int i = 0; i < 3; i++) kill(ids[i]);
  for (int i = 0; i < 3; i++) check(result() == -1, "status");
}
static void registers(void) {
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  for (u32 i = 0; i < 4; i++) {
    if (!child()) continue;
    u32 answer[2] = {i, compute(i + 1, 100000)};
    for (int k = 0; k < 4; k++) {
      check(compute(i + 1, 100000) == answer[1], "computation");
      if (k == 2) yield();
    }
    write(ends[1], answer, sizeof answer);
    exit(0);
  }
  u32 got[2];
  for (int i = 0; i < 4; i++) {
    check(read(ends[0], got, sizeof got) == sizeof got, "answer");
    check(compute(got[0] + 1, 100000) == got[1], "same computation here");
  }
  for (int i = 0; i < 4; i++) check(result() == 0, "status");
}
static void sleeping(void) {
  int before = uptime();
  check(sleep(3) == 0, "sleep");
  check(uptime() - before >= 3, "time");
  check(uptime() - before < 100, "time");
}

/* ---------------------------------------------------------------- memory */

static void growth(void) {
  char *start = sbrk(0);
  for (int i = 0; i < 50; i++) {
    char *at = sbrk(1);
    check(at == start + i && *at == 0, "one byte");
    *at = i;
  }
  for (int i = 0; i < 50; i++) check(start[i] == i, "bytes");
  start = sbrk(0);
  int bytes = 2 * 1024 * 1024;
  check(sbrk(bytes) == start, "much");
  for (int i = 0; i < bytes; i += PAGE) {
    check(start[i] == 0, "fresh page");
    start[i] = i >> 12;
  }
  for (int i = 0; i < bytes; i += PAGE) check(start[i] == (char)(i >> 12), "page");
  /* Taken away and given again: other pages, and nothing old in the TLB. */
  check(sbrk(-bytes) == start + bytes && sbrk(0) == start, "less");
  check(sbrk(bytes) == start, "again");
  for (int i = PAGE; i < bytes; i += PAGE) check(start[i] == 0, "fresh page");
  if (child()) {
    char *end = sbrk(-bytes) - PAGE;
    *(volatile char *)end = 1; /* a fault */
    exit(0);
  }
  check(result() == -1, "access to what was given back");
}
static void exhaustion(void) {
  if (child()) {
    int pages = 0;
    char *at;
    while ((at = sbrk(16 * PAGE)) != (char *)-1) {
      at[15 * PAGE] = 1;
      pages += 16;
    }
    check(pages > 1000, "pages");
    check(fork() == -1, "fork without memory");
    exit(0);
  }
  check(result() == 0, "status");
  if (child()) exit(3);
  check(result() == 3, "memory is there again");
  check(sbrk(0x7fffffff) == (char *)-1, "2 GiB");
  check(sbrk(-0x7fffffff) == (char *)-1, "less than nothing");
}
static void copies(void) {
  char *at = sbrk(10 * PAGE);
  for (int i = 0; i < 10 * PAGE; i += 512) at[i] = 1;
  for (int n = 0; n < 6; n++) {
    if (!child()) continue;
    for (int i = 0; i < 10 * PAGE; i += 512) {
      check(at[i] == 1, "inherited");
      at[i] = n + 2;
    }
    yield();
    for (int i = 0; i < 10 * PAGE; i += 512) check(at[i] == n + 2, "own");
    exit(0);
  }
  for (int n = 0; n < 6; n++) check(result() == 0, "status");
  for (int i = 0; i < 10 * PAGE; i += 512) check(at[i] == 1, "untouched");
}
static void zeros(void) {
  for (u32 i = 0; i < sizeof big; i++) check(big[i] == 0, "bss");
}

/* ---------------------------------------------------------------- things that end a process */

static void dies(void (*how)(void)) {
  if (child()) {
    how();
    exit(0);
  }
  check(result() == -1, "should have been killed");
}
static void read_kernel(void) { big[0] = *(volatile char *)KERNEL; }
static void write_kernel(void) { *(volatile char *)KERNEL = 1; }
static void read_device(void) { big[0] = *(volatile char *)0xfee00020; }
static void write_beyond(void) { *(volatile char *)(sbrk(0) + PAGE) = 1; }
static void jump_away(void) { ((void (*)(void))0x70000000)(); }
static void overflow(void) {
  __asm__ volatile("1: pushl %%eax; jmp 1b" : : : "memory");
}
static void do_in(void) { __asm__ volatile("inb $0x60, %%al" : : : "eax"); }
static void do_out(void) { __asm__ volatile("outb %%al, $0x80" : :); }
static void do_cli(void) { __asm__ volatile("cli"); }
static void do_hlt(void) { __asm__ volatile("hlt"); }
static void do_cr3(void) { __asm__ volatile("movl %%cr3, %%eax" : : : "eax"); }
static void do_lgdt(void) { __asm__ volatile("lgdt 0"); }
static void do_int(void) { __asm__ volatile("int $32"); }
static void do_ud(void) { __asm__ volatile("ud2"); }
static void do_div(void) { __asm__ volatile("xorl %%ecx, %%ecx; divl %%ecx" : : : "eax", "ecx", "edx"); }
static void do_ds(void) { __asm__ volatile("movw $0x10, %%ax; movw %%ax, %%ds" : : : "eax"); }
static void do_iret(void) { __asm__ volatile("pushfl; pushl $0x08; pushl $0; iret"); }

static void faults(void) {
  static void (*const all[])(void) = {read_kernel, write_kernel, read_device, write_beyond, jump_away,
                                      do_ud, do_div, overflow};
  for (u32 i = 0; i < sizeof all / sizeof all[0]; i++) dies(all[i]);
}
static void privilege(void) {
  static void (*const all[])(void) = {do_in, do_out, do_cli, do_hlt, do_cr3, do_lgdt, do_int, do_ds, do_iret};
  for (u32 i = 0; i < sizeof all / sizeof all[0]; i++) dies(all[i]);
}
static void bad_pointers(void) {
  char *const bad[] = {KERNEL, (char *)0x7fffffff, (char *)0xffffffff, sbrk(0), (char *)0xfee00020};
  int d = open("echo", OPEN_READ), ends[2];
  check(d >= 0, "open");
  check(pipe(ends) == 0, "pipe");
  for (int i = 0; i < 5; i++) {
    check(read(d, bad[i], 100) == -1, "read");
    check(write(ends[1], bad[i], 100) == -1, "write");
    check(open(bad[i], OPEN_READ) == -1, "open");
    check(unlink(bad[i]) == -1, "unlink");
    check(pipe((int *)bad[i]) == -1, "pipe");
    check(wait((int *)bad[i]) == -1, "wait");
    check(exec(bad[i], argument_words) == -1, "exec of a bad path");
    check(exec("echo", (char **)bad[i]) == -1, "exec of a bad list");
    char *list[] = {"echo", bad[i], 0};
    check(exec("echo", list) == -1, "exec of a bad argument");
  }
  check(read(d, sbrk(0) - 10, 20) == -1, "read across the end");
  check(read(d, big, -1) == -1, "negative count");
  check(read(d, sbrk(0) - 10, 10) == 10, "read up to the end");
  check(read(77, big, 1) == -1 && read(-1, big, 1) == -1 && close(15) == -1, "bad descriptors");
  /* A stack pointer that points nowhere, at a system call. */
  int answer;
  __asm__ volatile("movl %%esp, %%esi; movl $0x90000000, %%esp; int $64; movl %%esi, %%esp"
                   : "=a"(answer) : "0"(CALL_kill) : "esi", "memory");
  check(answer == -1, "arguments nowhere");
}
static void no_such_call(void) {
  int answer;
  __asm__ volatile("int $64" : "=a"(answer) : "0"(1234));
  check(answer == -1, "answer");
}

/* ---------------------------------------------------------------- pipes */

static void pipe_bytes(void) {
  int ends[2], total = 0, n;
  check(pipe(ends) == 0, "pipe");
  if (child()) {
    close(ends[0]);
    u8 next = 0;
    for (int i = 0; i < 5; i++) {
      for (int k = 0; k < 1033; k++) big[k] = next++;
      check(write(ends[1], big, 1033) == 1033, "write");
    }
    exit(0);
  }
  close(ends[1]);
  u8 next = 0;
  for (int room = 1; (n = read(ends[0], big, room)) > 0; room = room * 2 % 4095 + 1) {
    for (int i = 0; i < n; i++) check((u8)big[i] == next++, "order");
    total += n;
  }
  check(total == 5 * 1033, "total");
  check(result() == 0, "status");
}
static void pipe_writers(void) {
  int ends[2], counts[5] = {0};
  char record[8];
  check(pipe(ends) == 0, "pipe");
  for (int n = 0; n < 5; n++) {
    if (!child()) continue;
    close(ends[0]);
    for (int i = 0; i < 8; i++) record[i] = 'a' + n;
    for (int i = 0; i < 200; i++) check(write(ends[1], record, 8) == 8, "write");
    exit(0);
  }
  close(ends[1]);
  char c;
  while (read(ends[0], &c, 1) == 1) counts[c - 'a']++;
  for (int n = 0; n < 5; n++) check(counts[n] == 1600, "bytes of a writer");
  for (int n = 0; n < 5; n++) check(result() == 0, "status");
}
static void pipe_ends(void) {
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  check(write(ends[0], "x", 1) == -1 && read(ends[1], big, 1) == -1, "wrong way");
  close(ends[0]);
  check(write(ends[1], "x", 1) == -1, "nobody reads");
  close(ends[1]);
}
/* A ring of processes that pass a number round: switches and wake-ups, and nothing else. */
static void ring(void) {
  int first[2], in, out[2];
  u32 token = 0;
  check(pipe(first) == 0, "pipe");
  in = first[0];
  for (int n = 0; n < 6; n++) {
    check(pipe(out) == 0, "pipe");
    if (child()) {
      close(first[1]);
      close(out[0]);
      while (read(in, &token, 4) == 4) {
        token++;
        write(out[1], &token, 4);
      }
      exit(0);
    }
    if (in != first[0]) close(in);
    close(out[1]);
    in = out[0];
  }
  for (int i = 0; i < 100; i++) {
    write(first[1], &token, 4);
    check(read(in, &token, 4) == 4, "token");
  }
  check(token == 600, "steps");
  close(first[1]);
  for (int n = 0; n < 6; n++) check(result() == 0, "status");
}
/* Numbers through a chain of filters, each of which takes out the multiples of one prime. */
static void sieve(void) {
  int in, ends[2], n, prime, answer[2], count = 0;
  check(pipe(answer) == 0 && pipe(ends) == 0, "pipe");
  if (child()) {
    for (n = 2; n <= 40; n++) write(ends[1], &n, 4);
    exit(0);
  }
  close(ends[1]);
  in = ends[0];
  if (child()) {
    while (read(in, &prime, 4) == 4) {
      write(answer[1], &prime, 4);
      check(pipe(ends) == 0, "pipe");
      if (child()) {
        close(in);
        close(ends[1]);
        in = ends[0];
        continue;
      }
      close(ends[0]);
      while (read(in, &n, 4) == 4) {
        if (n % prime) write(ends[1], &n, 4);
      }
      close(ends[1]);
      check(result() == 0, "status of a filter");
      break;
    }
    exit(0);
  }
  close(in);
  close(answer[1]);
  static const int primes[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
  while (read(answer[0], &prime, 4) == 4) check(prime == primes[count++], "prime");
  check(count == 12, "number of primes");
  check(result() == 0 && result() == 0, "status");
}

/* ---------------------------------------------------------------- files */

static int create(const char *name) {
  int d = open(name, OPEN_READ | OPEN_WRITE | OPEN_CREATE | OPEN_TRUNCATE);
  check(d >= 0, "create");
  return d;
}
static void small_file(void) {
  int d = create("small");
  for (int i = 0; i < 50; i++) check(write(d, "aaaaaaaaaa", 10) == 10 && write(d, "bbbbbbbbbb", 10) == 10, "write");
  check(size(d) == 1000, "size");
  close(d);
  d = open("small", OPEN_READ);
  check(read(d, big, 2000) == 1000, "read");
  for (int i = 0; i < 1000; i++) check(big[i] == (i / 10 % 2 ? 'b' : 'a'), "content");
  check(read(d, big, 1) == 0 && write(d, big, 1) == -1, "end");
  close(d);
  check(unlink("small") == 0 && open("small", OPEN_READ) == -1 && unlink("small") == -1, "unlink");
}
static void big_file(void) {
  /* As long as files can be, beyond what the buffers hold. */
  int d = create("big"), blocks = 0;
  for (;; blocks++) {
    ((int *)big)[0] = blocks;
    ((int *)big)[127] = ~blocks;
    if (write(d, big, 512) != 512) break;
  }
  check(blocks == 13 + 128, "longest file");
  close(d);
  d = open("big", OPEN_READ);
  for (int i = 0; i < blocks; i++) {
    check(read(d, big, 512) == 512, "read");
    check(((int *)big)[0] == i && ((int *)big)[127] == ~i, "content");
  }
  check(read(d, big, 512) == 0, "end");
  close(d);
  check(unlink("big") == 0, "unlink");
}
static void many_files(void) {
  for (int n = 0; n < 4; n++) {
    if (!child()) continue;
    char name[2] = {'p' + n, 0};
    int d = create(name);
    for (int i = 0; i < 500; i++) big[i] = '0' + n;
    for (int i = 0; i < 12; i++) check(write(d, big, 500) == 500, "write");
    exit(0);
  }
  for (int n = 0; n < 4; n++) check(result() == 0, "status");
  for (int n = 0; n < 4; n++) {
    char name[2] = {'p' + n, 0};
    int d = open(name, OPEN_READ), total = 0, got;
    while ((got = read(d, big, sizeof big)) > 0) {
      for (int i = 0; i < got; i++) check(big[i] == '0' + n, "content");
      total += got;
    }
    check(total == 6000, "length");
    close(d);
    check(unlink(name) == 0, "unlink");
  }
}
static void create_delete(void) {
  char name[4] = "c00";
  for (int n = 0; n < 3; n++) {
    if (!child()) continue;
    name[1] = '0' + n;
    for (int i = 0; i < 12; i++) {
      name[2] = 'a' + i;
      close(create(name));
      if (i > 0 && i % 2 == 0) {
        name[2] = 'a' + i / 2;
        check(unlink(name) == 0, "unlink");
      }
    }
    exit(0);
  }
  for (int n = 0; n < 3; n++) check(result() == 0, "status");
  for (int n = 0; n < 3; n++) {
    for (int i = 0; i < 12; i++) {
      name[1] = '0' + n;
      name[2] = 'a' + i;
      int d = open(name, OPEN_READ);
      check((d < 0) == (i >= 1 && i <= 5), "what is there");
      if (d < 0) continue;
      close(d);
      check(unlink(name) == 0, "unlink");
    }
  }
}
static void same_file(void) {
  /* A descriptor has one position, whoever uses it. */
  int d = create("shared"), counts[2] = {0};
  int mine = !child();
  for (int i = 0; i < 10; i++) big[i] = mine ? 'p' : 'c';
  for (int i = 0; i < 200; i++) check(write(d, big, 10) == 10, "write");
  if (!mine) exit(0);
  check(result() == 0, "status");
  close(d);
  d = open("shared", OPEN_READ);
  for (int n; (n = read(d, big, sizeof big)) > 0;) {
    for (int i = 0; i < n; i++) counts[big[i] == 'p']++;
  }
  check(counts[0] == 2000 && counts[1] == 2000, "bytes of each");
  close(d);
  check(unlink("shared") == 0, "unlink");
}
static void unlinked(void) {
  int d = create("gone");
  write(d, "hello", 5);
  close(d);
  d = open("gone", OPEN_READ | OPEN_WRITE);
  check(unlink("gone") == 0, "unlink");
  int other = create("gone");
  write(other, "yyy", 3);
  close(other);
  check(read(d, big, 10) == 5 && big[0] == 'h', "the old file is there");
  check(write(d, big, 10) == 10 && size(d) == 15, "and can be written");
  close(d);
  check(unlink("gone") == 0, "unlink");
}
static void descriptors(void) {
  int n = 0, d, first = -1;
  while ((d = open("echo", OPEN_READ)) >= 0) {
    if (first < 0) first = d;
    n++;
  }
  check(first + n == 16, "descriptors");
  check(dup(0) == -1 && pipe((int *)big) == -1, "none left");
  for (int i = first; i < 16; i++) check(close(i) == 0, "close");
  int a = open("echo", OPEN_READ), b = dup(a);
  char x, y;
  check(read(a, &x, 1) == 1 && read(b, &y, 1) == 1 && x == 0x7f && y == 'E', "one position");
  check(open(".", OPEN_WRITE) == -1 && unlink("console") == -1, "directory and device");
  check(open("a-name-that-is-too-long-for-it", OPEN_WRITE | OPEN_CREATE) == -1, "long name");
}

/* ---------------------------------------------------------------- exec */

static void execs(void) {
  static char *list[18];
  check(exec("nothing", argument_words) == -1, "no such file");
  int d = create("text");
  write(d, "this is no program, but it is as long as one is\n", 48);
  close(d);
  check(exec("text", argument_words) == -1, "no program");
  check(unlink("text") == 0, "unlink");
  for (int i = 0; i < 17; i++) list[i] = "x";
  check(exec("echo", list) == -1, "too many arguments");
  for (u32 i = 0; i < 4999; i++) big[i] = 'x';
  list[1] = big;
  list[2] = 0;
  check(exec("echo", list) == -1, "too long an argument");
  for (int i = 0; i < 3; i++) {
    if (child()) {
      close(1);
      create("out");
      char *words[] = {"echo", "from", "exec", 0};
      exec("echo", words);
      exit(9);
    }
    check(result() == 0, "status");
  }
  d = open("out", OPEN_READ);
  check(read(d, big, 100) == 10 && big[0] == 'f' && big[9] == '\n', "output");
  close(d);
  check(unlink("out") == 0, "unlink");
}
static void fork_exec(void) {
  for (int i = 0; i < 8; i++) {
    if (!child()) continue;
    char *words[] = {"tests", "nothing", 0};
    exec("tests", words);
    exit(9);
  }
  for (int i = 0; i < 8; i++) check(result() == 0, "status");
}
static void nothing(void) {}

/* ---------------------------------------------------------------- all of them */

#define ONE(name) {#name, name}
static const struct { const char *name; void (*run)(void); } tests[] = {
    ONE(zeros), ONE(statuses), ONE(forks), ONE(tree), ONE(orphans), ONE(kills), ONE(preemption), ONE(registers),
    ONE(sleeping), ONE(growth), ONE(exhaustion), ONE(copies), ONE(faults), ONE(bad_pointers), ONE(no_such_call),
    ONE(pipe_bytes), ONE(pipe_writers), ONE(pipe_ends), ONE(ring), ONE(sieve), ONE(small_file), ONE(big_file),
    ONE(many_files), ONE(create_delete), ONE(same_file), ONE(unlinked), ONE(descriptors), ONE(execs), ONE(fork_exec),
    ONE(privilege),
};

int main(int count, char **arguments) {
  int failed = 0, ran = 0;
  argument_words = arguments;
  if (count == 2 && same(arguments[1], "nothing")) {
    nothing();
    exit(0);
  }
  for (u32 n = 0; n < sizeof tests / sizeof tests[0]; n++) {
    int wanted = count == 1;
    for (int i = 1; i < count; i++) wanted |= same(arguments[i], tests[n].name);
    if (!wanted) continue;
    int status = 0;
    if (fork() == 0) {
      tests[n].run();
      exit(0);
    }
    wait(&status);
    print(1, "%s: %s\n", tests[n].name, status == 0 ? "ok" : "FAILED");
    ran++;
    failed += status != 0;
  }
  print(1, "%d tests, %d failed\n", ran, failed);
  exit(failed);
}
