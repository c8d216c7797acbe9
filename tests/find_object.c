/* What GCC's unwinder needs of a C library beside what musl has: without this every panic ends a static program. Used by
   tests/platforms. */
#include <link.h>
#include <pthread.h>
#include <stddef.h>

/* It refers to these weakly, which takes nothing out of a static library, and calls them all the same. */
__attribute__((used)) static const void *const needed[] = {
    pthread_once,        pthread_mutex_lock,  pthread_mutex_unlock,
    pthread_key_create,  pthread_getspecific, pthread_setspecific,
};

/* As in glibc's dlfcn.h, where it has no dlfo_eh_dbase; its reserved members are left as they are. */
struct found {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame;
};

struct search {
    ElfW(Addr) address;
    struct found *found;
};

static int look(struct dl_phdr_info *object, size_t size, void *data)
{
    struct search *search = data;
    const ElfW(Phdr) *map = NULL, *frame = NULL;
    (void)size;
    for (int at = 0; at < object->dlpi_phnum; at++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[at];
        /* Where it is not inside, this wraps around. */
        if (segment->p_type == PT_LOAD && search->address - object->dlpi_addr - segment->p_vaddr < segment->p_memsz)
            map = segment;
        if (segment->p_type == PT_GNU_EH_FRAME)
            frame = segment;
    }
    if (!map || !frame)
        return 0;
    search->found->flags = 0;
    search->found->map_start = (void *)(object->dlpi_addr + map->p_vaddr);
    search->found->map_end = (void *)(object->dlpi_addr + map->p_vaddr + map->p_memsz);
    search->found->link_map = NULL;
    search->found->eh_frame = (void *)(object->dlpi_addr + frame->p_vaddr);
    return 1;
}

/* glibc's, which the unwinder asks first since GCC 12, and gives up where it fails. */
int _dl_find_object(void *address, void *found)
{
    struct search search = {(ElfW(Addr))address, found};
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}
