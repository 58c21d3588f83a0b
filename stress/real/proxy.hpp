// Proxy: a bad network as a TCP proxy on loopback, for one client's way to one server. Needs no privileges.
//
// A thread of its own moves the bytes; the faults can be set from any thread and hold until they are changed. Bytes
// that a reset throws away were counted, as those on a real wire would have been.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "messages/result.hpp"

namespace drover::real {

// What the network does to the bytes. Zero: nothing.
struct Weather {
  uint32_t delay_ms = 0;       // of every piece, each way
  uint32_t loss_permille = 0;  // of pieces: each lost one holds up what is behind it for 200 ms, as TCP would
  bool cut_up = false;         // nothing arrives at the server; the client is not told
  bool cut_down = false;       // nothing arrives at the client
};

class Proxy {
 public:
  // Listens on a free port of 127.0.0.1 and connects to `server_port` there. `bytes_per_s` limits the way to the
  // server; 0: no limit.
  static Result<std::unique_ptr<Proxy>> start(uint16_t server_port, uint64_t bytes_per_s, uint64_t seed);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  uint16_t port() const { return port_; }
  void set(const Weather& weather);
  void set_rate(uint64_t bytes_per_s) { bytes_per_s_ = bytes_per_s; }
  // Ends every connection with a reset on both sides.
  void reset() { ++resets_; }

  uint64_t bytes_up() const { return bytes_up_; }  // taken from clients
  uint64_t bytes_down() const { return bytes_down_; }
  uint64_t connections() const { return connections_; }  // ever
  // Whether something was held up or thrown away since the last call.
  bool hit() { return hit_.exchange(false); }

 private:
  class Loop;
  Proxy() = default;

  uint16_t port_ = 0;
  std::atomic<uint64_t> bytes_per_s_{0};
  std::atomic<uint32_t> delay_ms_{0}, loss_permille_{0}, resets_{0};
  std::atomic<bool> cut_up_{false}, cut_down_{false}, stop_{false}, hit_{false};
  std::atomic<uint64_t> bytes_up_{0}, bytes_down_{0}, connections_{0};
  std::thread thread_;
};

}  // namespace drover::real
