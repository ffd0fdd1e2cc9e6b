/* libfaketime leaves out cnd_timedwait, which librdkafka waits with: a wait of 0.1 s would take an hour where the clock is an
 * hour ahead, and none at all where it is behind, as no real clock makes it. glibc's own is the same call as the one below,
 * which libfaketime knows. */
#include <errno.h>
#include <pthread.h>
#include <threads.h>

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    int error = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}
