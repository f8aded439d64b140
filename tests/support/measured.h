/* SPDX-License-Identifier: MIT
 *
 * What limn bench says of a case, against itself: the sums, the list of steps and the trace are of one run.
 *
 *     measured_check("pack-picture --steps 2", "cpu");
 */
#ifndef SUPPORT_MEASURED_H
#define SUPPORT_MEASURED_H

/* Runs the case with a tiny pack on the device. Anything that is not as it should be fails the test. */
void measured_check(const char *words, const char *device);

#endif
