/* System calls. Nothing of user mode is believed: addresses are checked against the size of the process. */
#include "kernel.h"
#include "../user/calls.h"

static int word_at(u32 at, u32 *value) {
  u32 size = self()->size;
  if (at >= size || at + 4 > size) return -1;
  *value = *(u32 *)at;
  return 0;
}
static int number(int n, u32 *value) { return word_at(self()->frame->esp + 4 + 4 * n, value); }
static int area(int n, int bytes, char **at) {
  u32 a, size = self()->size;
  if (number(n, &a) < 0 || bytes < 0 || a >= size || a + bytes > size || a + bytes < a) return -1;
  *at = (char *)a;
  return 0;
}
static int text_at(u32 at, char **text) {
  u32 size = self()->size;
  for (u32 a = at; a < size; a++) {
    if (*(char *)a) continue;
    *text = (char *)at;
    return 0;
  }
  return -1;
}
static int text(int n, char **t) {
  u32 a;
  return number(n, &a) < 0 ? -1 : text_at(a, t);
}
static int file(int n, u32 *descriptor, struct file **f) {
  return number(n, descriptor) < 0 || *descriptor >= OPEN || !(*f = self()->files[*descriptor]) ? -1 : 0;
}
static int descriptor_new(struct file *f) {
  for (int i = 0; i < OPEN; i++) {
    if (self()->files[i]) continue;
    self()->files[i] = f;
    return i;
  }
  return -1;
}

static int do_fork(void) { return fork(); }
static int do_exit(void) {
  u32 status;
  if (number(0, &status) < 0) status = -1;
  exit(status);
}
static int do_wait(void) {
  int status, id;
  char *at;
  if (area(0, 4, &at) < 0) return -1;
  if ((id = wait(&status)) >= 0) *(int *)at = status;
  return id;
}
static int do_kill(void) {
  u32 id;
  return number(0, &id) < 0 ? -1 : kill(id);
}
static int do_getpid(void) { return self()->id; }
static int do_sbrk(void) {
  u32 bytes, old = self()->size;
  return number(0, &bytes) < 0 || grow(bytes) < 0 ? -1 : (int)old;
}
static int do_sleep(void) {
  u32 n;
  if (number(0, &n) < 0) return -1;
  lock(&ticks_lock);
  u32 start = ticks;
  while (ticks - start < n) {
    if (self()->killed) {
      unlock(&ticks_lock);
      return -1;
    }
    sleep((void *)&ticks, &ticks_lock);
  }
  unlock(&ticks_lock);
  return 0;
}
static int do_uptime(void) { return ticks; }
static int do_exec(void) {
  char *path, *arguments[ARGUMENTS + 1];
  u32 list, at;
  if (text(0, &path) < 0 || number(1, &list) < 0) return -1;
  for (int i = 0; i <= ARGUMENTS; i++) {
    if (word_at(list + 4 * i, &at) < 0) return -1;
    arguments[i] = NULL;
    if (!at) return exec(path, arguments);
    if (text_at(at, &arguments[i]) < 0) return -1;
  }
  return -1;
}
static int do_open(void) {
  char *name;
  u32 how;
  struct file *f;
  if (text(0, &name) < 0 || number(1, &how) < 0 || file_open(name, how, &f) < 0) return -1;
  int d = descriptor_new(f);
  if (d < 0) file_close(f);
  return d;
}
static int do_close(void) {
  u32 d;
  struct file *f;
  if (file(0, &d, &f) < 0) return -1;
  self()->files[d] = NULL;
  file_close(f);
  return 0;
}
static int do_read(void) {
  u32 d, count;
  struct file *f;
  char *at;
  return file(0, &d, &f) < 0 || number(2, &count) < 0 || area(1, count, &at) < 0 ? -1 : file_read(f, at, count);
}
static int do_write(void) {
  u32 d, count;
  struct file *f;
  char *at;
  return file(0, &d, &f) < 0 || number(2, &count) < 0 || area(1, count, &at) < 0 ? -1 : file_write(f, at, count);
}
static int do_dup(void) {
  u32 d;
  struct file *f;
  if (file(0, &d, &f) < 0) return -1;
  int made = descriptor_new(f);
  if (made >= 0) file_share(f);
  return made;
}
static int do_pipe(void) {
  char *at;
  struct file *reader, *writer;
  if (area(0, 8, &at) < 0 || pipe_new(&reader, &writer) < 0) return -1;
  int r = descriptor_new(reader), w = descriptor_new(writer);
  if (r >= 0 && w >= 0) {
    ((int *)at)[0] = r;
    ((int *)at)[1] = w;
    return 0;
  }
  if (r >= 0) self()->files[r] = NULL;
  file_close(reader);
  file_close(writer);
  return -1;
}
static int do_unlink(void) {
  char *name;
  return text(0, &name) < 0 ? -1 : file_unlink(name);
}
static int do_size(void) {
  u32 d;
  struct file *f;
  return file(0, &d, &f) < 0 ? -1 : file_size(f);
}
static int do_yield(void) {
  yield();
  return 0;
}
/* The port that QEMU's isa-debug-exit has; elsewhere the machine goes on. */
static int do_power_off(void) {
  u32 code;
  if (number(0, &code) == 0) out8(0xf4, code);
  return 0;
}

static int (*const calls[CALLS])(void) = {
    [CALL_fork] = do_fork,     [CALL_exit] = do_exit,     [CALL_wait] = do_wait,     [CALL_kill] = do_kill,
    [CALL_getpid] = do_getpid, [CALL_sbrk] = do_sbrk,     [CALL_sleep] = do_sleep,   [CALL_uptime] = do_uptime,
    [CALL_exec] = do_exec,     [CALL_open] = do_open,     [CALL_close] = do_close,   [CALL_read] = do_read,
    [CALL_write] = do_write,   [CALL_dup] = do_dup,       [CALL_pipe] = do_pipe,     [CALL_unlink] = do_unlink,
    [CALL_size] = do_size,     [CALL_yield] = do_yield,   [CALL_power_off] = do_power_off,
};
void system_call(void) {
  struct process *p = self();
  u32 n = p->frame->eax;
  if (n > 0 && n < CALLS) {
    p->frame->eax = calls[n]();
  } else {
    print("%s: no system call %d\n", p->name, n);
    p->frame->eax = -1;
  }
}

/* ---------------------------------------------------------------- exec */

struct elf { u32 magic; u8 rest[12]; u16 type, machine; u32 version, entry, segments_at, sections_at, flags; u16 size, segment_size, segments; };
struct segment { u32 type, at, virtual, physical, in_file, in_memory, flags, align; };

static int load(u32 *directory, u32 *size, struct inode *i, u32 *entry) {
  struct elf e;
  if (inode_read(i, &e, 0, sizeof e) != sizeof e || e.magic != 0x464c457f) return -1;
  *entry = e.entry;
  for (u32 n = 0; n < e.segments; n++) {
    struct segment s;
    if (inode_read(i, &s, e.segments_at + n * sizeof s, sizeof s) != sizeof s) return -1;
    if (s.type != 1) continue;
    if (s.in_memory < s.in_file || s.virtual + s.in_memory < s.virtual || s.virtual % PAGE) return -1;
    u32 end = s.virtual + s.in_memory;
    if (end > *size && !(*size = space_grow(directory, *size, end))) return -1;
    for (u32 done = 0; done < s.in_file; done += PAGE) {
      u32 bytes = s.in_file - done < PAGE ? s.in_file - done : PAGE;
      void *page = space_page(directory, s.virtual + done);
      if (!page || inode_read(i, page, s.at + done, bytes) != (int)bytes) return -1;
    }
  }
  return 0;
}

/* Replaces the program of this process; its old memory stays until nothing can go wrong. */
int exec(const char *path, char *const *arguments) {
  struct process *p = self();
  struct inode *i = inode_find(path);
  if (!i) return -1;
  u32 *directory = space_new(), size = 0, entry = 0;
  inode_lock(i);
  int wrong = !directory || load(directory, &size, i, &entry) < 0;
  inode_unlock(i);
  inode_release(i);
  /* Two pages: nothing for whoever overflows the stack, and the stack. */
  if (!wrong) {
    u32 end = PAGE_UP(size);
    wrong = !(size = space_grow(directory, end, end + 2 * PAGE));
    if (!wrong) space_hide(directory, size - 2 * PAGE);
  }
  u32 words[3 + ARGUMENTS + 1], count = 0, esp = size;
  for (; !wrong && arguments[count]; count++) {
    u32 bytes = length(arguments[count]) + 1;
    esp = (esp - bytes) & ~3u;
    wrong = space_put(directory, esp, arguments[count], bytes) < 0;
    words[3 + count] = esp;
  }
  words[0] = 0xffffffff; /* main returns nowhere */
  words[1] = count;
  words[2] = esp - (count + 1) * 4;
  words[3 + count] = 0;
  esp -= (3 + count + 1) * 4;
  if (!wrong) wrong = space_put(directory, esp, words, (3 + count + 1) * 4) < 0;
  if (wrong) {
    if (directory) space_free(directory);
    return -1;
  }
  copy_text(p->name, path, sizeof p->name);
  u32 *old = p->directory;
  p->directory = directory;
  p->size = size;
  p->frame->eip = entry;
  p->frame->esp = esp;
  use_space(p);
  space_free(old);
  return 0;
}
