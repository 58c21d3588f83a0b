// The streams under a session: MeteredStream counts and bounds what a peer sends, MemoryWire makes in-memory
// connections that a test can delay, stall, refuse and cut.
//
// Network thread only.
#pragma once

#include <kj/async-io.h>
#include <kj/timer.h>

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

namespace drover::network {

// Passes everything through. Reading more than the budget ends the stream, before a session is greeted.
class MeteredStream final : public kj::AsyncIoStream {
 public:
  explicit MeteredStream(kj::Own<kj::AsyncIoStream> inner) : inner_(kj::mv(inner)) {}

  void set_read_budget(uint64_t bytes) { read_budget_bytes_ = bytes; }
  void clear_read_budget() { read_budget_bytes_ = std::numeric_limits<uint64_t>::max(); }
  // Called after each finished write, from within the event loop.
  void set_on_written(std::function<void()> on_written) { on_written_ = std::move(on_written); }
  uint64_t read_bytes() const { return read_bytes_; }
  uint64_t written_bytes() const { return written_bytes_; }
  bool over_budget() const { return over_budget_; }

  kj::Promise<size_t> tryRead(void* buffer, size_t min_bytes, size_t max_bytes) override;
  kj::Promise<void> write(const void* buffer, size_t size) override;
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override;
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }
  void abortRead() override { inner_->abortRead(); }

 private:
  void wrote(size_t size);

  kj::Own<kj::AsyncIoStream> inner_;
  std::function<void()> on_written_;
  uint64_t read_budget_bytes_ = std::numeric_limits<uint64_t>::max();
  uint64_t read_bytes_ = 0;
  uint64_t written_bytes_ = 0;
  bool over_budget_ = false;
};

// The faults of one in-memory path between two nodes. Shared by every connection that is made over it (make_shared).
class MemoryWire : public std::enable_shared_from_this<MemoryWire> {
 public:
  explicit MemoryWire(kj::Timer& timer) : timer_(timer) {}
  MemoryWire(const MemoryWire&) = delete;
  MemoryWire& operator=(const MemoryWire&) = delete;

  struct Ends {
    kj::Own<kj::AsyncIoStream> client;
    kj::Own<kj::AsyncIoStream> server;
  };
  Ends connect();

  void set_latency_ms(uint32_t ms) { latency_ms_ = ms; }  // of each write, each way
  void set_refusing(bool refusing) { refusing_ = refusing; }
  bool refusing() const { return refusing_; }
  // A partition without a sign: what is written waits, until the stall ends or the connection is cut.
  void set_stalled(bool stalled);
  // One end has lost its power: what it writes from now on reaches nobody, and it does not hear of it. Until the cut.
  enum class Side : uint8_t { client, server };
  void mute(Side side) { muted_[static_cast<size_t>(side)] = true; }
  // Called before each write with what is about to be written.
  void set_on_write(std::function<void(Side, size_t)> on_write) { on_write_ = std::move(on_write); }
  // Both ends of every live connection fail with "disconnected" at once. Ends muteness.
  void cut();
  size_t live() const { return streams_.size() / 2; }

 private:
  class FaultStream;
  kj::Promise<void> passage();

  kj::Timer& timer_;
  uint32_t latency_ms_ = 0;
  bool refusing_ = false;
  bool stalled_ = false;
  std::array<bool, 2> muted_{};
  std::function<void(Side, size_t)> on_write_;
  std::vector<kj::Own<kj::PromiseFulfiller<void>>> waiting_;
  std::vector<FaultStream*> streams_;
};

}  // namespace drover::network
