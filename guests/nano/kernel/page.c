/*
 * Physical pages with a count of users each, for pages shared by copy-on-write.
 * Invariants: a page is free iff its count is 0; free pages are the list plus [fresh, end), so pages
 *             never used are never touched. The kernel image and what lies below has no count.
 * Source: our own; the list through the free pages themselves is the classic arrangement.
 */
#include "nano.h"

struct free_page {
    struct free_page *next;
};

static u16 *users;               /* of page first + i * PAGE_BYTES */
static u32 first, fresh, end;
static struct free_page *freed;
static u32 used_count;

void page_init(u32 first_free, u32 ram_end)
{
    u32 count = (ram_end - first_free) / PAGE_BYTES;

    users = (u16 *)first_free;
    memset(users, 0, count * sizeof users[0]);
    first = (first_free + count * sizeof users[0] + PAGE_BYTES - 1) & PTE_FRAME;
    fresh = first;
    end = ram_end;
}

static u16 *users_of(u32 page)
{
    return &users[(page - first) / PAGE_BYTES];
}

u32 page_alloc(void)
{
    u32 irq = irq_save();
    u32 page = 0;

    if (freed) {
        page = (u32)freed;
        freed = freed->next;
    } else if (fresh < end) {
        page = fresh;
        fresh += PAGE_BYTES;
    }
    if (page) {
        *users_of(page) = 1;
        used_count++;
    }
    irq_restore(irq);
    return page;
}

u32 page_alloc_zero(void)
{
    u32 page = page_alloc();

    if (page)
        memset((void *)page, 0, PAGE_BYTES);
    return page;
}

#ifdef NANO_LMBENCH
/* A page of the file cache stays for good: it does not count as used by anybody. */
u32 page_alloc_cache(void)
{
    u32 page = page_alloc_zero();

    if (page)
        used_count--;
    return page;
}
#endif

void page_share(u32 page)
{
    u32 irq = irq_save();

    if (page >= first)
        ++*users_of(page);
    irq_restore(irq);
}

void page_free(u32 page)
{
    u32 irq = irq_save();

    if (page >= first && !*users_of(page))
        panic("page freed twice");
    if (page >= first && --*users_of(page) == 0) {
        ((struct free_page *)page)->next = freed;
        freed = (struct free_page *)page;
        used_count--;
    }
    irq_restore(irq);
}

int page_is_shared(u32 page)
{
    return page < first || *users_of(page) > 1;
}

u32 page_used_count(void)
{
    return used_count;
}
