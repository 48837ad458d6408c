/* Makes the disk: mkfs IMAGE BLOCKS FILE... The directory has the files by their base names, and the console. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../kernel/format.h"

#define INODES 80
static unsigned char *disk;
static unsigned blocks, next_block, next_inode = FS_ROOT;
static struct super *super;

static struct disk_inode *inode(unsigned n) {
  return (struct disk_inode *)(disk + (super->inodes_at + n / FS_PER_BLOCK) * FS_BLOCK) + n % FS_PER_BLOCK;
}
static unsigned block(void) {
  if (next_block >= blocks) {
    fprintf(stderr, "mkfs: more than %u blocks\n", blocks);
    exit(1);
  }
  return next_block++;
}
static void append(unsigned number, const void *from, unsigned count) {
  struct disk_inode *i = inode(number);
  for (; count--; from = (const char *)from + 1) {
    unsigned n = i->size / FS_BLOCK, *at = &i->at[n < FS_DIRECT ? n : FS_DIRECT];
    if (n >= FS_DIRECT + FS_INDIRECT) {
      fprintf(stderr, "mkfs: a file is too long\n");
      exit(1);
    }
    if (!*at) *at = block();
    if (n >= FS_DIRECT) {
      at = (unsigned *)(disk + *at * FS_BLOCK) + n - FS_DIRECT;
      if (!*at) *at = block();
    }
    disk[*at * FS_BLOCK + i->size++ % FS_BLOCK] = *(const char *)from;
  }
}
static unsigned add(const char *name, int type) {
  struct entry e = {.inode = next_inode++};
  inode(e.inode)->type = type;
  inode(e.inode)->links = 1;
  strncpy(e.name, name, FS_NAME - 1);
  if (type != TYPE_DIRECTORY) append(FS_ROOT, &e, sizeof e);
  return e.inode;
}
int main(int count, char **arguments) {
  if (count < 3) return 2;
  blocks = atoi(arguments[2]);
  disk = calloc(blocks, FS_BLOCK);
  super = (struct super *)(disk + FS_BLOCK);
  super->magic = FS_MAGIC;
  super->blocks = blocks;
  super->inodes = INODES;
  super->inodes_at = 2;
  super->map_at = 2 + INODES / FS_PER_BLOCK + 1;
  super->data_at = next_block = super->map_at + blocks / (FS_BLOCK * 8) + 1;
  add(".", TYPE_DIRECTORY);
  add("console", TYPE_CONSOLE);
  for (int n = 3; n < count; n++) {
    const char *slash = strrchr(arguments[n], '/');
    unsigned number = add(slash ? slash + 1 : arguments[n], TYPE_FILE);
    FILE *f = fopen(arguments[n], "rb");
    if (!f) return 1;
    for (int c; (c = fgetc(f)) != EOF;) append(number, &(char){c}, 1);
    fclose(f);
  }
  for (unsigned n = 0; n < next_block; n++) disk[super->map_at * FS_BLOCK + n / 8] |= 1 << n % 8;
  FILE *out = fopen(arguments[1], "wb");
  return !out || fwrite(disk, FS_BLOCK, blocks, out) != blocks || fclose(out) != 0;
}
