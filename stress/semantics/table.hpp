// The table of a stress set: one row per metric with what is required and what is aimed at. Required bounds that do not
// hold fail the program; goals are reported.
#pragma once

#include <cstdio>
#include <string>

namespace drover::semantics::stress {

struct Bound {
  enum class Kind : unsigned char { none, above, below, equal };
  Kind kind = Kind::none;
  double limit = 0;
  bool holds(double value) const {
    return kind == Kind::none || (kind == Kind::above   ? value > limit
                                  : kind == Kind::below ? value < limit
                                                        : value == limit);
  }
  std::string text() const;
};
inline Bound above(double limit) {
  return {Bound::Kind::above, limit};
}
inline Bound below(double limit) {
  return {Bound::Kind::below, limit};
}
inline Bound exactly(double value) {
  return {Bound::Kind::equal, value};
}
inline Bound nothing() {
  return {};
}

class Table {
 public:
  // Prints the heading.
  explicit Table(const char* title);
  void row(const char* metric, double value, const Bound& required, const Bound& goal);
  // A yes or no that is required.
  void check(const char* what, bool holds);
  bool holds() const { return failed_ == 0; }

 private:
  int failed_ = 0;
};

// Largest resident size so far, in MB (10^6 bytes).
double peak_memory_MB();
// Now, in MB.
double memory_MB();
// Of the calling thread.
double cpu_seconds();

}  // namespace drover::semantics::stress
