#include "fcgi/board.h"

void board_init(struct board *b)
{
    *b = (struct board){ 0 };
    pthread_mutex_init(&b->lock, NULL);
}

void board_done(struct board *b)
{
    pthread_mutex_destroy(&b->lock);
}

void board_enter(struct board *b, struct slot *s)
{
    pthread_mutex_lock(&b->lock);
    s->next = NULL;
    s->prev = b->last;
    *(b->last ? &b->last->next : &b->first) = s;
    b->last = s;
    pthread_mutex_unlock(&b->lock);
}

void board_leave(struct board *b, struct slot *s)
{
    pthread_mutex_lock(&b->lock);
    if (s->prev || b->first == s) {
        *(s->prev ? &s->prev->next : &b->first) = s->next;
        *(s->next ? &s->next->prev : &b->last) = s->prev;
        s->prev = s->next = NULL;
    }
    pthread_mutex_unlock(&b->lock);
}

void board_each(struct board *b, void (*look)(void *arg, struct slot *s), void *arg)
{
    pthread_mutex_lock(&b->lock);
    for (struct slot *s = b->first; s; s = s->next)
        look(arg, s);
    pthread_mutex_unlock(&b->lock);
}

const char *board_state_name(const struct slot *s)
{
    static const char *const names[] = { "working", "queued", "prompt", "writing" };

    return names[atomic_load(&s->state)];
}
