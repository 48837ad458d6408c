/* Inodes, the directory, open files, pipes. */
#include "kernel.h"
#include "format.h"
#include "../user/calls.h"

#define INODES 50
struct inode {
  u32 number, users;
  int valid;
  struct sleeplock lock;
  struct disk_inode d;
};
static struct spinlock inodes_lock = {.name = "inodes"};
static struct inode inodes[INODES];
static struct super super;
static struct inode *root;

/* ---------------------------------------------------------------- blocks of the disk */

static u32 block_new(void) {
  for (u32 base = 0; base < super.blocks; base += FS_BLOCK * 8) {
    struct buffer *b = block_read(super.map_at + base / (FS_BLOCK * 8));
    for (u32 i = 0; i < FS_BLOCK * 8 && base + i < super.blocks; i++) {
      if (b->data[i / 8] & 1 << i % 8) continue;
      b->data[i / 8] |= 1 << i % 8;
      block_write(b);
      block_release(b);
      b = block_read(base + i);
      fill(b->data, 0, FS_BLOCK);
      block_write(b);
      block_release(b);
      return base + i;
    }
    block_release(b);
  }
  return 0;
}
static void block_free(u32 number) {
  struct buffer *b = block_read(super.map_at + number / (FS_BLOCK * 8));
  u32 i = number % (FS_BLOCK * 8);
  if (!(b->data[i / 8] & 1 << i % 8)) panic("block freed twice");
  b->data[i / 8] &= ~(1 << i % 8);
  block_write(b);
  block_release(b);
}

/* ---------------------------------------------------------------- inodes */

static struct disk_inode *disk_inode(struct buffer **b, u32 number) {
  *b = block_read(super.inodes_at + number / FS_PER_BLOCK);
  return (struct disk_inode *)(*b)->data + number % FS_PER_BLOCK;
}
static void inode_save(struct inode *i) {
  struct buffer *b;
  *disk_inode(&b, i->number) = i->d;
  block_write(b);
  block_release(b);
}
static struct inode *inode_get(u32 number) {
  struct inode *unused = NULL;
  lock(&inodes_lock);
  for (struct inode *i = inodes; i < inodes + INODES; i++) {
    if (i->users && i->number == number) {
      i->users++;
      unlock(&inodes_lock);
      return i;
    }
    if (!unused && !i->users) unused = i;
  }
  if (!unused) panic("no inode");
  unused->number = number;
  unused->users = 1;
  unused->valid = 0;
  unlock(&inodes_lock);
  return unused;
}
static struct inode *inode_new(int type) {
  for (u32 n = FS_ROOT; n < super.inodes; n++) {
    struct buffer *b;
    struct disk_inode *d = disk_inode(&b, n);
    if (d->type == TYPE_FREE) {
      fill(d, 0, sizeof *d);
      d->type = type;
      block_write(b);
      block_release(b);
      return inode_get(n);
    }
    block_release(b);
  }
  return NULL;
}
void inode_lock(struct inode *i) {
  sleep_lock(&i->lock);
  if (!i->valid) {
    struct buffer *b;
    i->d = *disk_inode(&b, i->number);
    block_release(b);
    i->valid = 1;
  }
}
void inode_unlock(struct inode *i) { sleep_unlock(&i->lock); }
static void inode_empty(struct inode *i) {
  if (i->d.at[FS_DIRECT]) {
    struct buffer *b = block_read(i->d.at[FS_DIRECT]);
    for (u32 n = 0; n < FS_INDIRECT; n++) {
      if (((u32 *)b->data)[n]) block_free(((u32 *)b->data)[n]);
    }
    block_release(b);
  }
  for (u32 n = 0; n <= FS_DIRECT; n++) {
    if (i->d.at[n]) block_free(i->d.at[n]);
    i->d.at[n] = 0;
  }
  i->d.size = 0;
  inode_save(i);
}
/* The last user of a file without a name frees it. */
void inode_release(struct inode *i) {
  sleep_lock(&i->lock);
  if (i->valid && i->d.links == 0) {
    lock(&inodes_lock);
    u32 users = i->users;
    unlock(&inodes_lock);
    if (users == 1) {
      inode_empty(i);
      i->d.type = TYPE_FREE;
      inode_save(i);
      i->valid = 0;
    }
  }
  sleep_unlock(&i->lock);
  lock(&inodes_lock);
  i->users--;
  unlock(&inodes_lock);
}
/* Block of the disk that holds block n of the file; 0 without. */
static u32 inode_block(struct inode *i, u32 n, int make) {
  if (n < FS_DIRECT) {
    if (!i->d.at[n] && make) i->d.at[n] = block_new();
    return i->d.at[n];
  }
  n -= FS_DIRECT;
  if (n >= FS_INDIRECT) return 0;
  if (!i->d.at[FS_DIRECT] && make) i->d.at[FS_DIRECT] = block_new();
  if (!i->d.at[FS_DIRECT]) return 0;
  struct buffer *b = block_read(i->d.at[FS_DIRECT]);
  u32 *at = (u32 *)b->data + n;
  if (!*at && make && (*at = block_new())) block_write(b);
  u32 number = *at;
  block_release(b);
  return number;
}
static u32 least(u32 a, u32 b) { return a < b ? a : b; }
int inode_read(struct inode *i, void *to, u32 at, u32 count) {
  if (at > i->d.size || at + count < at) return -1;
  count = least(count, i->d.size - at);
  for (u32 done = 0, n; done < count; done += n) {
    u32 a = at + done;
    n = least(count - done, FS_BLOCK - a % FS_BLOCK);
    struct buffer *b = block_read(inode_block(i, a / FS_BLOCK, 0));
    copy((char *)to + done, b->data + a % FS_BLOCK, n);
    block_release(b);
  }
  return count;
}
static int inode_write(struct inode *i, const void *from, u32 at, u32 count) {
  u32 done = 0;
  for (u32 n; done < count; done += n) {
    u32 a = at + done, number = inode_block(i, a / FS_BLOCK, 1);
    if (!number) break;
    n = least(count - done, FS_BLOCK - a % FS_BLOCK);
    struct buffer *b = block_read(number);
    copy(b->data + a % FS_BLOCK, (const char *)from + done, n);
    block_write(b);
    block_release(b);
  }
  if (done && at + done > i->d.size) i->d.size = at + done;
  if (done) inode_save(i);
  return done ? (int)done : count ? -1 : 0;
}

/* ---------------------------------------------------------------- the directory */

/* Looks the name up in the locked directory; an empty name finds an unused entry or the end. */
static u32 lookup(const char *name, u32 *at) {
  struct entry e;
  for (*at = 0; *at < root->d.size; *at += sizeof e) {
    inode_read(root, &e, *at, sizeof e);
    if (e.inode ? same(e.name, name, FS_NAME) : !*name) return e.inode;
  }
  return 0;
}
struct inode *inode_find(const char *name) {
  u32 at;
  inode_lock(root);
  u32 number = *name ? lookup(name, &at) : 0;
  struct inode *i = number ? inode_get(number) : same(name, ".", 2) ? inode_get(FS_ROOT) : NULL;
  inode_unlock(root);
  return i;
}
static struct inode *inode_create(const char *name) {
  u32 at, number;
  if (length(name) >= FS_NAME || !*name) return NULL;
  inode_lock(root);
  struct inode *i;
  if ((number = lookup(name, &at))) {
    i = inode_get(number);
  } else if ((i = inode_new(TYPE_FILE))) {
    struct entry e = {.inode = i->number};
    inode_lock(i);
    i->d.links = 1;
    inode_save(i);
    inode_unlock(i);
    copy_text(e.name, name, FS_NAME);
    lookup("", &at);
    inode_write(root, &e, at, sizeof e);
  }
  inode_unlock(root);
  return i;
}
int file_unlink(const char *name) {
  u32 at, number;
  inode_lock(root);
  if (!*name || !(number = lookup(name, &at))) {
    inode_unlock(root);
    return -1;
  }
  struct inode *i = inode_get(number);
  inode_lock(i);
  if (i->d.type != TYPE_FILE) {
    inode_unlock(i);
    inode_unlock(root);
    inode_release(i);
    return -1;
  }
  struct entry none = {0};
  inode_write(root, &none, at, sizeof none);
  i->d.links--;
  inode_save(i);
  inode_unlock(i);
  inode_unlock(root);
  inode_release(i);
  return 0;
}
void files_init(void) {
  struct buffer *b = block_read(1);
  super = *(struct super *)b->data;
  block_release(b);
  if (super.magic != FS_MAGIC) panic("no file system");
  print("disk: %d blocks, %d inodes\n", super.blocks, super.inodes);
  root = inode_get(FS_ROOT);
}

/* ---------------------------------------------------------------- open files and pipes */

#define PIPE 512
struct pipe { struct spinlock lock; u32 read, written; int readers, writers; char data[PIPE]; };
struct file { u32 users; int how; struct pipe *pipe; struct inode *inode; u32 at; };
static struct spinlock files_lock = {.name = "files"};
static struct file files[FILES];

static struct file *file_new(int how, struct pipe *pipe, struct inode *inode) {
  lock(&files_lock);
  for (struct file *f = files; f < files + FILES; f++) {
    if (f->users) continue;
    *f = (struct file){1, how, pipe, inode, 0};
    unlock(&files_lock);
    return f;
  }
  unlock(&files_lock);
  return NULL;
}
struct file *file_share(struct file *f) {
  lock(&files_lock);
  f->users++;
  unlock(&files_lock);
  return f;
}
void file_close(struct file *f) {
  lock(&files_lock);
  struct file old = *f;
  f->users--;
  unlock(&files_lock);
  if (old.users > 1) return;
  if (old.inode) {
    inode_release(old.inode);
    return;
  }
  struct pipe *p = old.pipe;
  lock(&p->lock);
  if (old.how & OPEN_WRITE) p->writers = 0;
  else p->readers = 0;
  wakeup(&p->read);
  wakeup(&p->written);
  int last = !p->readers && !p->writers;
  unlock(&p->lock);
  if (last) page_free(p);
}
int pipe_new(struct file **reader, struct file **writer) {
  struct pipe *p = page_new();
  if (!p) return -1;
  fill(p, 0, sizeof *p);
  p->lock.name = "pipe";
  p->readers = p->writers = 1;
  if (!(*reader = file_new(OPEN_READ, p, NULL))) {
    page_free(p);
    return -1;
  }
  if (!(*writer = file_new(OPEN_WRITE, p, NULL))) {
    p->writers = 0;
    file_close(*reader);
    return -1;
  }
  return 0;
}
static int pipe_read(struct pipe *p, char *to, int count) {
  int n = 0;
  lock(&p->lock);
  while (p->read == p->written && p->writers) {
    if (self()->killed) {
      unlock(&p->lock);
      return -1;
    }
    sleep(&p->read, &p->lock);
  }
  while (n < count && p->read != p->written) to[n++] = p->data[p->read++ % PIPE];
  wakeup(&p->written);
  unlock(&p->lock);
  return n;
}
static int pipe_write(struct pipe *p, const char *from, int count) {
  lock(&p->lock);
  for (int n = 0; n < count; n++) {
    while (p->written == p->read + PIPE || !p->readers) {
      if (!p->readers || self()->killed) {
        unlock(&p->lock);
        return -1;
      }
      wakeup(&p->read);
      sleep(&p->written, &p->lock);
    }
    p->data[p->written++ % PIPE] = from[n];
  }
  wakeup(&p->read);
  unlock(&p->lock);
  return count;
}
int file_open(const char *name, int how, struct file **f) {
  struct inode *i = how & OPEN_CREATE ? inode_create(name) : inode_find(name);
  if (!i) return -1;
  inode_lock(i);
  int wrong = i->d.type == TYPE_DIRECTORY && how != OPEN_READ;
  if (!wrong && how & OPEN_TRUNCATE && i->d.type == TYPE_FILE) inode_empty(i);
  inode_unlock(i);
  if (!wrong && (*f = file_new(how, NULL, i))) return 0;
  inode_release(i);
  return -1;
}
int file_read(struct file *f, char *to, int count) {
  if (!(f->how & OPEN_READ)) return -1;
  if (f->pipe) return pipe_read(f->pipe, to, count);
  inode_lock(f->inode);
  int n, console = f->inode->d.type == TYPE_CONSOLE;
  if (console) inode_unlock(f->inode); /* or whoever writes meanwhile would wait for a key */
  n = console ? console_read(to, count) : inode_read(f->inode, to, f->at, count);
  if (console) return n;
  if (n > 0) f->at += n;
  inode_unlock(f->inode);
  return n;
}
int file_write(struct file *f, const char *from, int count) {
  if (!(f->how & OPEN_WRITE)) return -1;
  if (f->pipe) return pipe_write(f->pipe, from, count);
  inode_lock(f->inode);
  int n = f->inode->d.type == TYPE_CONSOLE ? console_write(from, count) : inode_write(f->inode, from, f->at, count);
  if (n > 0 && f->inode->d.type != TYPE_CONSOLE) f->at += n;
  inode_unlock(f->inode);
  return n;
}
int file_size(struct file *f) {
  if (!f->inode) return -1;
  inode_lock(f->inode);
  int size = f->inode->d.size;
  inode_unlock(f->inode);
  return size;
}
