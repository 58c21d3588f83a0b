@0xd1a6f0c95f3e2b18;
# How two Drover nodes talk: the RPC contract between a robot (or gateway, trainer, operator) and a
# coordinator. Every body that can be large travels as flat bytes in a Data field, never as a
# structure inside the call. Fields are only added; a golden encoding of each version is kept in
# tests/messages/golden.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("drover::schema");

struct NodeInfo {
  # Who a node says it is. The certificate decides; a disagreement ends the session.
  nodeId @0 :Text;            # [a-z0-9._-]{1,64}, for example "robot-07"
  role @1 :Role;
  softwareVersion @2 :Text;   # for example "0.1.0"
  protocolMin @3 :UInt16;     # lowest protocol version spoken
  protocolMax @4 :UInt16;     # highest protocol version spoken
}

enum Role {
  unknown @0;
  robot @1;
  coordinator @2;
  trainer @3;
  operator @4;
  gateway @5;
}

struct Hello {
  node @0 :NodeInfo;
  incarnation @1 :UInt64;     # changes when a robot's store was made anew; 0 is invalid for robots
  firstSeq @2 :UInt64;        # first sequence number still held by the robot's journal; 0: empty
  lastSeq @3 :UInt64;         # last sequence number in the robot's journal; 0: empty
  knowledgeVersion @4 :UInt64;
}

struct Welcome {
  node @0 :NodeInfo;
  protocol @1 :UInt16;        # version both sides will use
  durableSeq @2 :UInt64;      # last sequence number of this incarnation that is on the centre's disk
  knowledgeVersion @3 :UInt64;
  windowBytes @4 :UInt64;     # most unacknowledged block bytes the centre accepts
  maxBlockBytes @5 :UInt32;   # largest single block the centre accepts
  sessionId @6 :UInt64;
}

struct Ack {
  durableSeq @0 :UInt64;      # watermark after this append; everything up to it is synced
  status @1 :AckStatus;
  message @2 :Text;           # for refusals: what was wrong, naming the record
}

enum AckStatus {
  ok @0;
  gap @1;                     # block starts beyond watermark + 1: resend from durableSeq + 1
  conflict @2;                # same sequence, other content: this robot is quarantined
  corrupt @3;                 # checksum or framing wrong: nothing was stored
  refused @4;                 # quarantined robot, wrong incarnation or not allowed
  overloaded @5;              # nothing was stored; wait and resend
}

struct ChunkWant {
  hash @0 :Data;              # SHA-256 of the whole chunk, 32 bytes
  offset @1 :UInt64;          # bytes the centre already has of it
  sizeBytes @2 :UInt32;       # size of the whole chunk
}

struct KnowledgeUpdate {
  version @0 :UInt64;         # version after applying; equal to `have` when there is nothing new
  snapshot @1 :Data;          # flat SignedKnowledge (knowledge.capnp) or empty
}

struct Pong {
  durableSeq @0 :UInt64;
  knowledgeVersion @1 :UInt64;
  chunksWanted @2 :UInt64;    # chunks of this robot the centre lacks
  timeUnixNs @3 :Int64;       # the centre's clock
  appliedSeq @4 :UInt64;      # last record of this robot whose chunks the centre has entered in its wants
}

struct NodeStatus {
  # Small health report carried by each ping.
  journalLastSeq @0 :UInt64;
  journalAckedSeq @1 :UInt64;
  storeBytes @2 :UInt64;
  blobBacklogBytes @3 :UInt64;
  captureStopped @4 :Bool;
  alarm @5 :Text;             # empty: none
}

interface Gate {
  # The bootstrap interface of a coordinator. Only hello may be called, and once.
  hello @0 (hello :Hello) -> (welcome :Welcome, session :Session);
}

interface Session {
  append @0 (block :Data) -> (ack :Ack);
  # One journal block (messages/record.hpp). Returns after the commit that holds it was synced.

  wants @1 (budgetBytes :UInt64, maxItems :UInt32) -> (wants :List(ChunkWant));
  # Chunks of this robot that the centre lacks, most valuable per byte first, within the budget.

  chunk @2 (hash :Data, offset :UInt64, sizeBytes :UInt32, bytes :Data) -> (durableBytes :UInt64, complete :Bool);
  # A piece of a chunk, in order. durableBytes: how much of the chunk is on the centre's disk.

  knowledge @3 (have :UInt64) -> (update :KnowledgeUpdate);

  ping @4 (status :NodeStatus) -> (pong :Pong);

  query @5 (request :Text) -> (reply :Text);
  # Operators only. JSON in, JSON out; the same calls that `drover packs ...` makes on a store directory.
}
