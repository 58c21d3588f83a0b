#include "actors/sync/outbox.hpp"

#include <algorithm>

#include "messages/buggify.hpp"

namespace drover::sync {

void Outbox::link_up(uint64_t durable_seq, uint64_t window_bytes, uint32_t block_max_bytes) {
  window_bytes_ = window_bytes == 0 ? limits_.window_bytes : std::min(limits_.window_bytes, window_bytes);
  block_max_bytes_ =
      block_max_bytes == 0 ? limits_.block_max_bytes : std::min(limits_.block_max_bytes, block_max_bytes);
  up_ = true;
  paused_ = false;
  rewind();
  // The centre's word decides: it may know more than we do (an ack was lost) or less (its disk was replaced).
  acked_seq_ = durable_seq;
  const bool can_show = durable_seq > 0 && durable_seq <= last_seq_ && first_seq_ > 0 && first_seq_ <= durable_seq;
  sent_seq_ = can_show ? durable_seq - 1 : durable_seq;
  if (durable_seq > last_seq_)
    halted_ = "the centre already holds seq " + std::to_string(durable_seq) + " but this journal ends at " +
              std::to_string(last_seq_) + ": the store was restored from an old copy; give it a new incarnation";
}

void Outbox::link_down() {
  up_ = false;
  paused_ = false;
  rewind();
}

void Outbox::journal_grew(uint64_t last_seq) {
  last_seq_ = std::max(last_seq_, last_seq);
}

std::optional<Outbox::Read> Outbox::next_read() {
  if (!up_ || paused_ || reading_ || !halted_.empty() || sent_seq_ >= last_seq_) return std::nullopt;
  if (in_flight_bytes_ >= window_bytes_) return std::nullopt;
  const uint64_t room_bytes = in_flight_.empty() ? block_max_bytes_ : window_bytes_ - in_flight_bytes_;
  // Waiting for room beats cutting small blocks: a block is asked for only when at least half a block fits.
  if (room_bytes < block_max_bytes_ / 2) return std::nullopt;
  reading_ = true;
  constexpr uint32_t one_record_bytes = 64;  // less than any record: the journal gives one
  if (buggify::fire(buggify::Site::outbox_one_record)) return Read{sent_seq_ + 1, one_record_bytes, generation_};
  return Read{sent_seq_ + 1, static_cast<uint32_t>(std::min<uint64_t>(room_bytes, block_max_bytes_)), generation_};
}

bool Outbox::read_done(const Read& read, uint64_t first_seq, uint64_t last_seq, uint64_t block_bytes) {
  if (read.generation != generation_) return false;  // a rewind came between; it already ended this read
  reading_ = false;
  if (!up_ || block_bytes == 0) return false;
  if (first_seq > read.from_seq || last_seq < read.from_seq) return false;
  if (first_seq <= highest_sent_seq_) ++resent_blocks_;
  in_flight_.push_back({first_seq, last_seq, block_bytes});
  in_flight_bytes_ += block_bytes;
  sent_seq_ = last_seq;
  highest_sent_seq_ = std::max(highest_sent_seq_, last_seq);
  return true;
}

void Outbox::replied(uint64_t generation, uint64_t first_seq, uint64_t last_seq, BlockReply reply, uint64_t durable_seq,
                     const std::string& reason) {
  if (!up_) return;
  if (generation != generation_) {
    // An answer to a block sent before a rewind still tells the truth about what is durable.
    if (reply == BlockReply::ok && durable_seq <= last_seq_) advance(durable_seq);
    return;
  }
  switch (reply) {
    case BlockReply::ok:
      corrupt_in_row_ = 0;
      advance(durable_seq);
      return;
    case BlockReply::gap:
      corrupt_in_row_ = 0;  // the centre read the block: what was damaged before was damaged on its way
      acked_seq_ = durable_seq;
      rewind();
      return;
    case BlockReply::lost:
      rewind();
      paused_ = true;  // whoever did not answer may need a moment; sending at once would only spin
      return;
    case BlockReply::overloaded:
      corrupt_in_row_ = 0;  // as for a gap; a centre with a full disk answers so for hours
      rewind();
      paused_ = true;
      return;
    case BlockReply::corrupt:
      rewind();
      paused_ = true;
      if (++corrupt_in_row_ >= limits_.corrupt_max)
        halted_ = "the centre found " + std::to_string(corrupt_in_row_) + " blocks in a row corrupt, the last at seq " +
                  std::to_string(first_seq) + ".." + std::to_string(last_seq) + ": " + reason;
      return;
    case BlockReply::conflict:
    case BlockReply::refused:
      rewind();
      halted_ = reason.empty() ? "refused by the centre" : reason;
      return;
  }
}

void Outbox::resume() {
  paused_ = false;
}

void Outbox::rewind() {
  ++generation_;
  in_flight_.clear();
  in_flight_bytes_ = 0;
  reading_ = false;
  if (sent_seq_ > acked_seq_ && up_ && buggify::bug(buggify::Bug::rewind_forgotten)) return;
  sent_seq_ = acked_seq_;
}

void Outbox::advance(uint64_t durable_seq) {
  acked_seq_ = std::max(acked_seq_, durable_seq);
  while (!in_flight_.empty() && in_flight_.front().last_seq <= acked_seq_) {
    in_flight_bytes_ -= in_flight_.front().bytes;
    in_flight_.pop_front();
  }
  sent_seq_ = std::max(sent_seq_, acked_seq_);
}

}  // namespace drover::sync
