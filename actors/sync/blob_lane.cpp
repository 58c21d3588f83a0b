#include "actors/sync/blob_lane.hpp"

#include <algorithm>

#include "messages/buggify.hpp"

namespace drover::sync {
namespace {

constexpr int64_t ns_per_ms = 1'000'000;
constexpr uint64_t refill_max_ns = 10'000'000'000;  // longer pauses fill the bucket anyway

}  // namespace

void BlobLane::link_up(int64_t now_ns) {
  link_down();
  up_ = true;
  ask_after_ns_ = now_ns;
  refilled_ns_ = now_ns;
}

void BlobLane::link_down() {
  up_ = false;
  asking_ = false;
  ++generation_;
  pieces_in_flight_ = 0;
  wants_.clear();
}

bool BlobLane::ask_wants(int64_t now_ns) {
  if (!up_ || asking_ || !wants_.empty() || pieces_in_flight_ > 0 || limits_.budget_bytes_per_s == 0) return false;
  if (now_ns < ask_after_ns_) return false;
  asking_ = true;
  return true;
}

void BlobLane::wants(int64_t now_ns, const std::deque<Want>& list) {
  asking_ = false;
  if (!up_) return;
  wants_ = list;
  for (Want& want : wants_)
    if (want.offset > 0 && buggify::bug(buggify::Bug::resume_offset_off_by_one)) ++want.offset;
  if (list.empty()) ask_after_ns_ = now_ns + static_cast<int64_t>(limits_.idle_ms) * ns_per_ms;
}

void BlobLane::wants_failed(int64_t now_ns) {
  wants(now_ns, {});
}

std::optional<BlobLane::Piece> BlobLane::next_piece(int64_t now_ns) {
  if (!up_ || wants_.empty() || pieces_in_flight_ >= limits_.pieces_max) return std::nullopt;
  refill(now_ns);
  Want& want = wants_.front();
  const auto left_bytes = want.size_bytes - std::min<uint64_t>(want.offset, want.size_bytes);
  const auto piece_bytes = static_cast<uint32_t>(std::min<uint64_t>(limits_.piece_bytes, left_bytes));
  if (piece_bytes > tokens_bytes_) return std::nullopt;
  tokens_bytes_ -= piece_bytes;
  Piece piece{want.hash, want.offset, piece_bytes, want.size_bytes, generation_};
  want.offset += piece_bytes;
  if (want.offset >= want.size_bytes) wants_.pop_front();
  ++pieces_in_flight_;
  sent_bytes_ += piece_bytes;
  return piece;
}

bool BlobLane::piece_done(const Piece& piece, bool complete) {
  if (piece.generation != generation_) return complete;
  if (pieces_in_flight_ > 0) --pieces_in_flight_;
  return complete;
}

void BlobLane::piece_failed(const Piece& piece) {
  if (piece.generation != generation_) return;
  if (pieces_in_flight_ > 0) --pieces_in_flight_;
  std::erase_if(wants_, [&](const Want& want) { return want.hash == piece.hash; });
}

uint64_t BlobLane::wait_ms(int64_t now_ns) const {
  if (!up_) return limits_.idle_ms;
  if (wants_.empty()) {
    const int64_t left_ns = ask_after_ns_ - now_ns;
    return left_ns <= 0 ? 1 : std::min<uint64_t>(limits_.idle_ms, static_cast<uint64_t>(left_ns / ns_per_ms) + 1);
  }
  const uint64_t missing_bytes = limits_.piece_bytes > tokens_bytes_ ? limits_.piece_bytes - tokens_bytes_ : 0;
  const uint64_t rate = std::max<uint64_t>(1, limits_.budget_bytes_per_s);
  return std::clamp<uint64_t>(missing_bytes * 1000 / rate, 1, limits_.idle_ms);
}

void BlobLane::refill(int64_t now_ns) {
  const auto elapsed_ns =
      std::min<uint64_t>(refill_max_ns, static_cast<uint64_t>(std::max<int64_t>(0, now_ns - refilled_ns_)));
  const auto gained =
      static_cast<uint64_t>(static_cast<double>(elapsed_ns) * 1e-9 * static_cast<double>(limits_.budget_bytes_per_s));
  if (gained == 0) return;  // keep the remainder for later instead of rounding it away
  const uint64_t depth_bytes = std::max<uint64_t>(limits_.burst_bytes, limits_.piece_bytes);
  tokens_bytes_ = std::min(depth_bytes, tokens_bytes_ + gained);
  refilled_ns_ = now_ns;
}

}  // namespace drover::sync
