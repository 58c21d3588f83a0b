// Rollouts as text: one JSON object per line, frames as rows of numbers under named columns. Pure.
//
// Writing and reading back gives the same frames, bit for bit, and the same truth. Text that is no UTF-8 is written
// with replacement characters. Reading is bounded and refuses what does not fit by naming the field.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

#include "actors/semantics/sima.hpp"

namespace drover::semantics {

inline constexpr std::string_view rollout_format = "drover.rollout.v1";
inline constexpr size_t rollout_line_bytes_max = size_t{1} << 30;

// One line, without the line end.
std::string rollout_text(const LabelledRollout& rollout);

// Errors: invalid_argument naming the field.
Result<LabelledRollout> parse_rollout(std::string_view line);

// Replays rollouts that were written before, from a stream of lines; empty lines are skipped.
class ReplayClient final : public Sima2Client {
 public:
  explicit ReplayClient(std::unique_ptr<std::istream> lines);
  ~ReplayClient() override;
  Result<std::optional<LabelledRollout>> next() override;

 private:
  std::unique_ptr<std::istream> lines_;
  uint64_t line_ = 0;
};

}  // namespace drover::semantics
