/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "elements.h"

#include <stdlib.h>
#include <sys/mman.h>

int elements_known_size(struct link *l)
{
    if (l->size == ELEMENT_SMALL || l->size == ELEMENT_LINE || l->size == ELEMENT_LARGE)
        return 0;
    return link_skip(l, "built for messages of %d, %d and %d bytes, not %zu", ELEMENT_SMALL,
                     ELEMENT_LINE, ELEMENT_LARGE, l->size);
}

struct elements *elements_new(struct link *l)
{
    struct elements *e = calloc(1, sizeof *e);
    if (!e)
        link_errno(l, "calloc");
    l->state = e;
    return e;
}

struct elements *elements_map(struct link *l, size_t bytes)
{
    enum { PAGE = 4096 };
    const size_t each = (bytes + PAGE - 1) / PAGE * PAGE;
    struct elements *e = elements_new(l);
    if (!e)
        return NULL;
    /* MAP_POPULATE gets all pages now, so that no page fault is measured. */
    void *p = mmap(NULL, 2 * each, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) {
        link_errno(l, "mmap");
        return NULL;
    }
    e->mapping = p;
    e->bytes = 2 * each;
    e->queue[0] = p;
    e->queue[1] = (unsigned char *)p + each;
    return e;
}

void elements_close(struct link *l)
{
    struct elements *e = l->state;
    if (!e)
        return;
    if (e->destroy)
        e->destroy(e);
    if (e->mapping)
        munmap(e->mapping, e->bytes);
    free(e);
}
