// The sessions actor: serves peers at the coordinator. It supervises one actor per connected peer, which checks
// what the peer sends and hands it to the stores.
//
// In:    network::{PeerHello, PeerAppend, PeerWants, PeerChunk, PeerKnowledge, PeerPing, PeerQuery, PeerGone} from the
//        listener; AskSessions from anyone (reply: SessionsFacts).
// Out:   OpenStream, StoreBlock to the inbox; ListWants, StorePiece, ReadKnowledge, RunQuery, AskCentral to the centre.
// Rules: a block is parsed and every record hashed before it reaches the inbox, in the peer's own actor, so one robot's
// bad
//        bytes cost only that robot. A new session of the same robot ends the older one's right to append.
// Supervision: permanent. After a restart it tells the listener (ServePeers), whose peers say hello again.
#pragma once

#include <caf/actor.hpp>
#include <map>
#include <string>
#include <vector>

#include "actors/runtime/environment.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::sync {

struct SessionsConfig {
  uint64_t store_timeout_ms = 30'000;       // for requests to the inbox and the centre
  size_t robots_max = 10'000;               // robots remembered for the fleet report
  std::vector<std::string> allowed_robots;  // node ids that may open a stream; empty: every certified robot
};

struct RobotSession {
  std::string robot;
  std::string role;
  std::string address;
  std::string software_version;
  uint64_t incarnation = 0;
  bool connected = false;
  int64_t since_unix_ns = 0;  // of the connection, or of its end
  int64_t last_seen_unix_ns = 0;
  uint64_t durable_seq = 0;
  uint64_t sessions = 0;  // hellos accepted since this coordinator started
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  network::NodeStatus status;  // as the robot last reported
  std::string refused;         // why its last hello or block was refused; empty: not
};

struct AskSessions {};
struct SessionsFacts {
  std::vector<RobotSession> robots;  // by name
};

caf::actor spawn_sessions(runtime::Environment& env, SessionsConfig config, runtime::Ref listener, runtime::Ref inbox,
                          runtime::Ref centre);

}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::AskSessions)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::SessionsFacts)
