/* testpmd_marks: puts the marks of naio_count.c around the bursts of DPDK's testpmd.
 *
 * It receives the calls that DPDK's ethdev library makes for every burst (its documented receive and transmit
 * callbacks), and hands on the marks, a report of what was counted between marks 1 and 2, and, if there is a feed,
 * requests for frames. It never looks into a frame and changes no burst. EAL loads it as a driver (-d).
 *
 * WHAT IS IN A TURN. From one callback to the next: the rest of the burst, testpmd's own work on it, and the next
 * burst up to its callback. A turn whose poll found nothing, and which had nothing left to do from the poll before,
 * is an empty one. What this file does itself is in the account of empty turns too, so that nobody pays for it; the
 * call alone, some ten instructions a burst, stays in testpmd's figure.
 *
 * Environment: NAIO_MARKS_MODE rxonly or txonly; NAIO_MARKS_FRAMES how many to measure; NAIO_MARKS_WARM_UP how many
 * to let pass before; NAIO_MARKS_FEED a path, see naio-frames --help; NAIO_MARKS_REPORT where the report goes.
 *
 * DPDK's headers are not needed: the two functions used are declared here as rte_ethdev.h documents them. They belong
 * to the stable ABI.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct rte_mbuf;
typedef uint16_t (*rx_callback)(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
                                uint16_t most, void *user);
typedef uint16_t (*tx_callback)(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
                                void *user);
const void *rte_eth_add_rx_callback(uint16_t port, uint16_t queue, rx_callback callback, void *user);
const void *rte_eth_add_tx_callback(uint16_t port, uint16_t queue, tx_callback callback, void *user);

/* The no-op of naio_sys::mark; what the numbers mean is written in naio_count.c. */
#define MARK(n) __asm__ volatile(".byte 0x0f, 0x1f, 0x80, %c0, 0x47, 0x49, 0x52" ::"i"(n) : "memory")
enum { RUN_BEGINS = 1, RUN_ENDS = 2, TURN_BEGINS = 3, TURN_WAS_EMPTY = 4 };
enum { TRIES = 3000, TRY_EVERY_US = 10000 };

static struct {
    enum { WARMING_UP, RUNNING, DONE } state;
    uint64_t wanted, warm_up;
    uint64_t frames, bursts, empty_polls;
    struct timespec began;
    double waited;
    uint16_t before;
    int want, here;
} run = { .want = -1, .here = -1 };

static double seconds_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static void report(void)
{
    const char *file = getenv("NAIO_MARKS_REPORT"), *mode = getenv("NAIO_MARKS_MODE");
    double seconds = seconds_since(&run.began) - run.waited;
    FILE *out = file ? fopen(file, "w") : NULL;

    if (out) {
        fprintf(out,
                "{\"program\":\"testpmd\",\"mode\":\"%s\",\"frames\":%" PRIu64 ",\"bursts\":%" PRIu64
                ",\"empty_polls\":%" PRIu64 ",\"frames_per_poll\":%f,\"seconds\":%f,\"frames_per_s\":%f}\n",
                mode, run.frames, run.bursts, run.empty_polls,
                run.bursts ? (double)run.frames / (double)run.bursts : 0, seconds,
                seconds > 0 ? (double)run.frames / seconds : 0);
        fclose(out);
    }
    kill(getpid(), SIGINT); /* testpmd then prints its own statistics and ends */
}

static void note(uint16_t count)
{
    run.frames += count;
    if (count) {
        run.bursts++;
    } else {
        run.empty_polls++;
    }
    if (run.state == WARMING_UP && run.frames >= run.warm_up) {
        run.state = RUNNING;
        run.frames = run.bursts = run.empty_polls = 0;
        run.waited = 0;
        clock_gettime(CLOCK_MONOTONIC, &run.began);
        MARK(RUN_BEGINS);
    } else if (run.state == RUNNING && run.frames >= run.wanted) {
        MARK(RUN_ENDS);
        run.state = DONE;
        report();
    }
}

static void ask(void)
{
    struct timespec since;
    char byte = 1;

    clock_gettime(CLOCK_MONOTONIC, &since);
    if (write(run.want, &byte, 1) != 1 || read(run.here, &byte, 1) != 1) {
        fprintf(stderr, "testpmd_marks: whoever brings the frames has gone\n");
        run.state = DONE;
        kill(getpid(), SIGINT);
    }
    run.waited += seconds_since(&since);
}

static void on_burst(uint16_t count)
{
    if (!count && !run.before) {
        MARK(TURN_WAS_EMPTY);
    }
    MARK(TURN_BEGINS);
    if (run.state != DONE) {
        note(count);
    }
    if (!count && run.state != DONE && run.want >= 0) {
        ask();
    }
    run.before = count;
    MARK(TURN_WAS_EMPTY);
    MARK(TURN_BEGINS);
}

static uint16_t on_rx(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, uint16_t most,
                      void *user)
{
    (void)port, (void)queue, (void)packets, (void)most, (void)user;
    on_burst(count);
    return count;
}

static uint16_t on_tx(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, void *user)
{
    (void)port, (void)queue, (void)packets, (void)user;
    on_burst(count);
    return count;
}

static int open_end(const char *path, const char *end, int how)
{
    char name[256];
    int fd;

    snprintf(name, sizeof name, "%s.%s", path, end);
    fd = open(name, how | O_CLOEXEC);
    if (fd < 0) {
        perror(name);
        exit(1);
    }
    return fd;
}

/* The port takes callbacks once testpmd has configured its queues. */
static void *attach(void *unused)
{
    const char *mode = getenv("NAIO_MARKS_MODE"), *feed = getenv("NAIO_MARKS_FEED");
    bool rx = mode && !strcmp(mode, "rxonly");

    (void)unused;
    if (feed) {
        run.want = open_end(feed, "want", O_WRONLY);
        run.here = open_end(feed, "here", O_RDONLY);
    }
    for (int i = 0; i < TRIES; i++) {
        if (rx ? rte_eth_add_rx_callback(0, 0, on_rx, NULL) : rte_eth_add_tx_callback(0, 0, on_tx, NULL)) {
            return NULL;
        }
        usleep(TRY_EVERY_US);
    }
    fprintf(stderr, "testpmd_marks: port 0 takes no callback\n");
    exit(1);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;

    run.wanted = number("NAIO_MARKS_FRAMES", 200000);
    run.warm_up = number("NAIO_MARKS_WARM_UP", 8192);
    if (!pthread_create(&thread, NULL, attach, NULL)) {
        pthread_detach(thread);
    }
}
