// DROVER_CHECK: an always-on check for our own bugs. It aborts with the reason; the service
// manager restarts the node. Never use it on input from outside: that gets an Error value.
#pragma once

#include <cstdio>
#include <cstdlib>

#define DROVER_CHECK(condition, reason)                                                                        \
  do {                                                                                                         \
    if (!(condition)) [[unlikely]] {                                                                           \
      std::fprintf(stderr, "drover: check failed at %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, reason); \
      std::abort();                                                                                            \
    }                                                                                                          \
  } while (false)
