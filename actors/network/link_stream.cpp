#include "actors/network/link_stream.hpp"

#include <kj/debug.h>

#include <algorithm>

namespace drover::network {

// ---- MeteredStream

kj::Promise<size_t> MeteredStream::tryRead(void* buffer, size_t min_bytes, size_t max_bytes) {
  return inner_->tryRead(buffer, min_bytes, max_bytes).then([this](size_t size) -> size_t {
    read_bytes_ += size;
    if (read_bytes_ > read_budget_bytes_) {
      over_budget_ = true;
      kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "too many bytes before hello"));
    }
    return size;
  });
}

void MeteredStream::wrote(size_t size) {
  written_bytes_ += size;
  if (on_written_) on_written_();
}

kj::Promise<void> MeteredStream::write(const void* buffer, size_t size) {
  return inner_->write(buffer, size).then([this, size] { wrote(size); });
}

kj::Promise<void> MeteredStream::write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) {
  size_t size = 0;
  for (const auto& piece : pieces) size += piece.size();
  return inner_->write(pieces).then([this, size] { wrote(size); });
}

// ---- MemoryWire

class MemoryWire::FaultStream final : public kj::AsyncIoStream {
 public:
  FaultStream(std::shared_ptr<MemoryWire> wire, kj::Own<kj::AsyncIoStream> inner, Side side)
      : wire_(std::move(wire)), inner_(kj::mv(inner)), side_(side) {
    wire_->streams_.push_back(this);
  }
  ~FaultStream() noexcept(false) { std::erase(wire_->streams_, this); }

  kj::Promise<size_t> tryRead(void* buffer, size_t min_bytes, size_t max_bytes) override {
    if (dead_) return gone();
    return canceler_.wrap(inner_->tryRead(buffer, min_bytes, max_bytes));
  }
  kj::Promise<void> write(const void* buffer, size_t size) override {
    if (dead_) return gone();
    if (lost(size)) return canceler_.wrap(kj::Promise<void>(kj::NEVER_DONE));
    return canceler_.wrap(wire_->passage().then([this, buffer, size] { return inner_->write(buffer, size); }));
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    if (dead_) return gone();
    size_t size = 0;
    for (const auto& piece : pieces) size += piece.size();
    if (lost(size)) return canceler_.wrap(kj::Promise<void>(kj::NEVER_DONE));
    return canceler_.wrap(wire_->passage().then([this, pieces] { return inner_->write(pieces); }));
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }
  void abortRead() override { inner_->abortRead(); }

  void cut() {
    dead_ = true;
    canceler_.cancel(gone());
  }

 private:
  bool lost(size_t size) {
    if (wire_->on_write_) wire_->on_write_(side_, size);
    return wire_->muted_[static_cast<size_t>(side_)];
  }
  static kj::Exception gone() { return KJ_EXCEPTION(DISCONNECTED, "connection was cut"); }

  std::shared_ptr<MemoryWire> wire_;
  kj::Own<kj::AsyncIoStream> inner_;
  Side side_;
  kj::Canceler canceler_;
  bool dead_ = false;
};

MemoryWire::Ends MemoryWire::connect() {
  auto pipe = kj::newTwoWayPipe();
  auto self = shared_from_this();
  return {kj::heap<FaultStream>(self, kj::mv(pipe.ends[0]), Side::client),
          kj::heap<FaultStream>(self, kj::mv(pipe.ends[1]), Side::server)};
}

void MemoryWire::set_stalled(bool stalled) {
  stalled_ = stalled;
  if (stalled_) return;
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& one : waiting) one->fulfill();
}

void MemoryWire::cut() {
  muted_ = {};
  const auto streams = streams_;
  for (FaultStream* stream : streams)
    if (std::find(streams_.begin(), streams_.end(), stream) != streams_.end()) stream->cut();
}

kj::Promise<void> MemoryWire::passage() {
  if (stalled_) {
    auto waiter = kj::newPromiseAndFulfiller<void>();
    waiting_.push_back(kj::mv(waiter.fulfiller));
    return waiter.promise.then([this] { return passage(); });
  }
  if (latency_ms_ == 0) return kj::READY_NOW;
  return timer_.afterDelay(latency_ms_ * kj::MILLISECONDS);
}

}  // namespace drover::network
