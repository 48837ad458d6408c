/* The file system on the disk: super block, inodes, bit map, data; one directory. The tool that makes it reads this, too. */
#define FS_MAGIC 0x74656163
#define FS_BLOCK 512
#define FS_DIRECT 13
#define FS_INDIRECT (FS_BLOCK / 4)
#define FS_ROOT 1 /* inode of the directory */
#define FS_NAME 28
enum { TYPE_FREE, TYPE_DIRECTORY, TYPE_FILE, TYPE_CONSOLE };

struct super { unsigned magic, blocks, inodes, inodes_at, map_at, data_at; };
struct disk_inode { unsigned short type, links; unsigned size, at[FS_DIRECT + 1]; };
struct entry { unsigned inode; char name[FS_NAME]; };
#define FS_PER_BLOCK (FS_BLOCK / sizeof(struct disk_inode))
