@0xb7e0c3a9d2f4418c;
# The other journal records: episode header, event, enrichment, outcome and receipt; and knowledge.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("drover::schema");

struct ChunkRef {
  hash @0 :Data;              # SHA-256, 32 bytes
  sizeBytes @1 :UInt32;
}

struct BlobRef {
  # One object (log slice, recording, video) as an ordered list of chunks.
  name @0 :Text;              # for example "slice.csv" or "episode.mcap"
  mediaType @1 :Text;
  sizeBytes @2 :UInt64;       # sum of the chunk sizes
  hash @3 :Data;              # SHA-256 of the whole object
  chunks @4 :List(ChunkRef);
}

struct EpisodeEvent {
  timeUnixNs @0 :Int64;       # capture clock
  kind @1 :Text;              # for example protective_stop, grip_lost, collision
  severity @2 :Text;          # info | warning | error
  detail @3 :Text;
  durationS @4 :Float64;      # 0 for instantaneous events
}

struct StreamStat {
  # One captured signal of the episode.
  name @0 :Text;              # channel, for example joint_0.current
  unit @1 :Text;
  samples @2 :UInt64;
  missing @3 :UInt64;         # blank or unreadable samples
  minimum @4 :Float64;
  maximum @5 :Float64;
  mean @6 :Float64;
}

struct Episode {
  episodeId @0 :Text;         # unique per robot; derived from the source, so the same input gives the same id
  robot @1 :Text;
  taskName @2 :Text;
  engineType @3 :Text;
  sourceKind @4 :Text;        # name of the mapping, or the world
  sourceName @5 :Text;        # file name
  sourceHash @6 :Data;        # SHA-256 of the whole source file
  startUnixNs @7 :Int64;
  endUnixNs @8 :Int64;
  cycle @9 :Int64;            # cycle counter where the source has one, else the ordinal in the file
  rows @10 :UInt64;           # samples or messages
  outcome @11 :Text;          # success | failure | recovered | unknown
  events @12 :List(EpisodeEvent);
  streams @13 :List(StreamStat);
  blobs @14 :List(BlobRef);
  complete @15 :Bool;         # false: a labelled prefix (source truncated or damaged)
  notes @16 :List(Text);      # what was odd about the source, in words
  extraJson @17 :Text;
  valuePerByte @18 :Float64;  # MVD of the episode over its blob bytes; orders transfer and eviction
}

struct Event {
  # A fact about the node rather than about one episode (source damaged, quota bound, alarm).
  timeUnixNs @0 :Int64;
  kind @1 :Text;
  severity @2 :Text;
  subject @3 :Text;           # file, peer or component
  detail @4 :Text;
}

struct Enrichment { packId @0 :Text; source @1 :Text; tagsJson @2 :Text; timeUnixNs @3 :Int64; }
struct Outcome { packId @0 :Text; customerId @1 :Text; metricsJson @2 :Text; timeUnixNs @3 :Int64; }

struct Receipt {
  # Proof that bytes were dropped on purpose: what, when, why and what they were worth.
  timeUnixNs @0 :Int64;
  subject @1 :Text;           # "chunk"
  hash @2 :Data;
  sizeBytes @3 :UInt64;
  reason @4 :Text;            # for example quota
  valuePerByte @5 :Float64;
  episodeId @6 :Text;
  acknowledged @7 :Bool;      # the centre held a durable copy when it was dropped
}

struct KnowledgeDocument { name @0 :Text; body @1 :Data; }
struct Knowledge { version @0 :UInt64; createdUnixNs @1 :Int64; author @2 :Text; documents @3 :List(KnowledgeDocument); }
struct SignedKnowledge {
  body @0 :Data;              # flat Knowledge message
  signature @1 :Data;         # Ed25519 over body, 64 bytes
  keyId @2 :Data;             # SHA-256 of the public key, first 8 bytes
}
