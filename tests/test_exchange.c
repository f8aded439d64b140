/* SPDX-License-Identifier: MIT
 *
 * Several processes and their sums. The test starts itself again, as one of two or three, through mpirun; without MPI,
 * or without mpirun, it says so and leaves that out.
 */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "core/base/memory.h"
#include "core/nn/exchange.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MANY = 1000003,   /* more than one piece, and no multiple of any number of ranks */
    WITHOUT_MPI = 77, /* exit status */
};

static const char *program;

/* ---- what each process does ---- */

/* Values whose sum in single precision depends on the order. */
static float value_of(int rank, int64_t i)
{
    const float sign = rank % 2 ? -1.0f : 1.0f;
    return sign * (float)((uint32_t)(i * 2654435761u + (uint32_t)rank * 40503u) >> 8) * (rank == 2 ? 1e-6f : 1e-3f);
}

static const char *sums(struct exchange *x, struct error *err)
{
    float *values = memory_alloc(MANY * sizeof *values);
    const char *fault = values ? NULL : "no memory";
    for (int64_t i = 0; i < MANY && !fault; i++) values[i] = value_of(exchange_rank(x), i);
    if (!fault && exchange_sum(x, STATUS_OK, values, MANY, err) != STATUS_OK) fault = err->text;
    for (int64_t i = 0; i < MANY && !fault; i++) {
        double sum = 0;
        for (int r = 0; r < exchange_size(x); r++) sum += (double)value_of(r, i);
        if (values[i] != (float)sum) fault = "a sum is not that in the order of ranks";
    }
    float one = (float)exchange_rank(x) + 1;
    const float all = (float)(exchange_size(x) * (exchange_size(x) + 1)) / 2;
    if (!fault && exchange_sum(x, STATUS_OK, &one, 1, err) != STATUS_OK) fault = err->text;
    if (!fault && one != all) fault = "a sum of one number is wrong";
    memory_free(values);
    return fault;
}

static const char *broadcast(struct exchange *x, struct error *err)
{
    char text[16] = "of process 1";
    if (exchange_rank(x) != 0) memset(text, 'x', sizeof text);
    if (exchange_broadcast(x, text, sizeof text, err) != STATUS_OK) return err->text;
    return strcmp(text, "of process 1") == 0 ? NULL : "what was sent to all did not come";
}

static const char *agreement(struct exchange *x, struct error *err)
{
    int same = 7, other = exchange_rank(x);
    if (exchange_agree(x, "the seed", &same, sizeof same, err) != STATUS_OK) return err->text;
    if (exchange_agree(x, "the seed", &other, sizeof other, err) == STATUS_OK) return "two seeds were taken for one";
    if (!strstr(err->text, "the seed is not the same as in process 1")) return err->text;
    error_clear(err);
    if (exchange_agree(x, "the list", "abcdef", exchange_rank(x) ? 6 : 3, err) == STATUS_OK)
        return "two lists were taken for one";
    error_clear(err);
    return NULL;
}

/* One rank fails; all hear of it, and the next call works again. */
static const char *failure(struct exchange *x, struct error *err)
{
    float value = 1;
    const int last = exchange_size(x) - 1;
    enum status status = STATUS_OK;
    if (exchange_rank(x) == last) status = (fail)(err, STATUS_FORMAT, "picture.png is damaged"); /* not cmocka's */
    if (exchange_sum(x, status, &value, 1, err) != STATUS_FORMAT) return "a failure of one was not that of all";
    if (!strstr(err->text, "picture.png is damaged")) return err->text;
    if (exchange_rank(x) != last && !strstr(err->text, "process ")) return "it was not said whose failure it was";
    error_clear(err);
    return exchange_settle(x, STATUS_OK, err) == STATUS_OK ? NULL : err->text;
}

static int work(int expected)
{
    struct error err = {0};
    struct exchange *x;
    const char *fault = NULL;
    if (exchange_open(&x, &err) != STATUS_OK) fault = err.text;
    if (fault && strstr(fault, "built without MPI")) return WITHOUT_MPI;
    if (!fault && exchange_size(x) != expected) fault = "the number of processes is wrong";
    if (!fault) fault = sums(x, &err);
    if (!fault) fault = broadcast(x, &err);
    if (!fault) fault = agreement(x, &err);
    if (!fault) fault = failure(x, &err);
    if (fault) fprintf(stderr, "process %d: %s\n", exchange_rank(x), fault);
    exchange_close(x);
    return fault ? 1 : 0;
}

/* ---- the test ---- */

static void one_process_is_enough(void **state)
{
    (void)state;
    struct error err = {0};
    struct exchange *x;
    float values[2] = {1.5f, -2};
    assert_int_equal(exchange_open(&x, &err), STATUS_OK);
    assert_int_equal(exchange_rank(x), 0);
    assert_int_equal(exchange_size(x), 1);
    assert_int_equal(exchange_sum(x, STATUS_OK, values, 2, &err), STATUS_OK);
    assert_true(values[0] == 1.5f && values[1] == -2);
    assert_int_equal(exchange_broadcast(x, values, sizeof values, &err), STATUS_OK);
    assert_int_equal(exchange_agree(x, "the seed", values, sizeof values, &err), STATUS_OK);
    assert_int_equal(exchange_settle(x, STATUS_LIMIT, &err), STATUS_LIMIT);
    assert_int_equal(exchange_sum(NULL, STATUS_IO, values, 2, &err), STATUS_IO);
    assert_int_equal(exchange_size(NULL), 1);
    exchange_close(x);
    exchange_close(NULL);
}

/* mpirun refuses to be root's, to start more processes than there are cores, and writes where it may not. */
static void run_several(int processes)
{
    char command[1024];
    if (system("mpirun --version > /dev/null 2>&1") != 0) {
        print_message("left out: there is no mpirun here\n");
        skip();
    }
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 1); /* containers forbid the other */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0);                   /* MPI keeps what it has until the end */
    snprintf(command, sizeof command, "mpirun -n %d '%s' --worker %d < /dev/null", processes, program, processes);
    const int result = system(command);
    if (WIFEXITED(result) && WEXITSTATUS(result) == WITHOUT_MPI) {
        print_message("left out: limn was built without MPI\n");
        skip();
    }
    assert_int_equal(result, 0);
}

static void two_processes_come_to_the_same(void **state)
{
    (void)state;
    run_several(2);
}

static void three_processes_come_to_the_same(void **state)
{
    (void)state;
    run_several(3);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && strcmp(argv[1], "--worker") == 0) return work(atoi(argv[2]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_is_enough),
        cmocka_unit_test(two_processes_come_to_the_same),
        cmocka_unit_test(three_processes_come_to_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
