#include "actors/semantics/segment_score.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace drover::semantics {
namespace {

template <class A, class B>
double overlap_s(const A& a, const B& b) {
  return std::max(0.0, std::min(a.end_s, b.end_s) - std::max(a.start_s, b.start_s));
}

bool repairs(Outcome outcome) {
  return outcome == Outcome::retry || outcome == Outcome::recovered;
}

// Of the others, the one that covers most of it.
template <class One, class Others>
const typename Others::value_type* counterpart(const One& one, const Others& others) {
  const typename Others::value_type* best = nullptr;
  double most = 0;
  for (const auto& other : others) {
    const double s = overlap_s(one, other);
    if (s <= most) continue;
    most = s;
    best = &other;
  }
  return best;
}

}  // namespace

void SegmentScore::add_boundaries(std::span<const TruthSegment> truth, std::span<const Segment> found) {
  if (!truth.empty()) true_ += truth.size() - 1;
  if (!found.empty()) found_ += found.size() - 1;
  size_t j = 1;
  for (size_t i = 1; i < truth.size(); ++i) {
    while (j < found.size() && found[j].start_s < truth[i].start_s - tolerance_s_) ++j;
    if (j < found.size() && found[j].start_s <= truth[i].start_s + tolerance_s_) {
      ++hits_;
      ++j;
    }
  }
}

void SegmentScore::add(std::span<const TruthSegment> truth, std::span<const Segment> found) {
  ++streams_;
  add_boundaries(truth, found);
  for (const TruthSegment& t : truth)
    for (const Segment& f : found)
      confusion_s_[static_cast<size_t>(t.label)][static_cast<size_t>(f.label)] += overlap_s(t, f);
  for (const TruthSegment& t : truth) {
    const Segment* f = counterpart(t, found);
    if (t.outcome == Outcome::failure) ++failures_true_;
    if (t.outcome == Outcome::failure && f != nullptr && f->outcome == Outcome::failure) ++failures_found_;
    if (repairs(t.outcome)) ++repairs_true_;
    if (repairs(t.outcome) && f != nullptr && f->outcome == t.outcome) ++repairs_found_;
  }
  for (const Segment& f : found) {
    const TruthSegment* t = counterpart(f, truth);
    if (f.outcome == Outcome::failure) ++failures_said_;
    if (f.outcome == Outcome::failure && t != nullptr && t->outcome == Outcome::failure) ++failures_right_;
    if (repairs(f.outcome)) ++repairs_said_;
    if (repairs(f.outcome) && t != nullptr && t->outcome == f.outcome) ++repairs_right_;
  }
}

double SegmentScore::boundary_f1() const {
  return ratio(2 * hits_, true_ + found_);
}

double SegmentScore::label_accuracy() const {
  double right = 0, all = 0;
  for (size_t i = 0; i < label_count; ++i)
    for (size_t k = 0; k < label_count; ++k) {
      all += confusion_s_[i][k];
      if (i == k) right += confusion_s_[i][k];
    }
  return all > 0 ? right / all : 1.0;
}

std::string SegmentScore::table() const {
  std::string text = fmt::format("{:>18}", "true \\ found %");
  std::array<bool, label_count> used{};
  for (size_t i = 0; i < label_count; ++i)
    for (size_t k = 0; k < label_count; ++k)
      if (confusion_s_[i][k] > 0) used[i] = used[k] = true;
  for (size_t k = 0; k < label_count; ++k)
    if (used[k]) text += fmt::format(" {:>9.9}", label_name(static_cast<Label>(k)));
  text += fmt::format(" {:>9}\n", "seconds");
  for (size_t i = 0; i < label_count; ++i) {
    double whole = 0;
    for (double s : confusion_s_[i]) whole += s;
    if (whole <= 0) continue;
    text += fmt::format("{:>18}", label_name(static_cast<Label>(i)));
    for (size_t k = 0; k < label_count; ++k)
      if (used[k]) text += fmt::format(" {:>9.1f}", 100 * confusion_s_[i][k] / whole);
    text += fmt::format(" {:>9.1f}\n", whole);
  }
  return text;
}

}  // namespace drover::semantics
