// NetworkThread: the network of one node on a thread of its own.
//
//   network::NetworkThread net(env);
//   auto listening = net.listen({.address = "0.0.0.0:7447", .credentials = ..., .self = ..., .handler = sessions});
//   auto uplink = net.dial({.address = "centre:7447", .server_name = "centre", .credentials = ..., .self = ..., ...});
//
// Threads: all functions may be called from any thread but the network's own; they wait for the network thread.
// SIGTERM, SIGINT and SIGHUP are blocked in the network thread, so the node decides who gets them.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "actors/network/network_core.hpp"

namespace drover::network {

class NetworkThread {
 public:
  // `env` outlives this.
  explicit NetworkThread(runtime::Environment& env);
  ~NetworkThread() { stop(); }
  NetworkThread(const NetworkThread&) = delete;
  NetworkThread& operator=(const NetworkThread&) = delete;

  Result<Listening> listen(Listen options);
  Result<caf::actor> dial(Dial options);
  // Closes everything: sessions end, subscribers and handlers get no more messages, requests to the actors are answered
  // with an error. Idempotent.
  void stop();

 private:
  void main(runtime::Environment& env);
  // False when the thread has stopped.
  bool run(const std::function<void(NetworkCore&)>& work);

  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  NetworkCore* core_ = nullptr;     // network thread only
  std::function<void()> stop_now_;  // network thread only
  std::thread thread_;
};

}  // namespace drover::network
