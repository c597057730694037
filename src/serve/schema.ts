/** What clients see; the descriptions are the reference for whoever calls it. */
export const typeDefs = `#graphql
  "Looks up what is known, and changes nothing."
  type Query {
    "The event with this id, as it was last processed; null when no such event has been processed."
    event(
      "The id that the event has in its source, at most 256 characters."
      id: ID!
    ): Event

    """
    The persons that an identifier belongs to: an e-mail address, a phone number, a loyalty id or any other value, written
    as the warehouse has it. Usually one; empty when nobody is known by it; at most 100.
    """
    person(
      "The value of the identifier, e.g. jane@example.com; at most 256 characters."
      identifier: String!
    ): [Person!]!
  }

  "Changes what is known."
  type Mutation {
    """
    Processes one event of a source: its data, its identifiers and the person it belongs to are worked out anew from what
    the source delivered. It happens wholly or not at all, and may be repeated: the outcome is the same.
    """
    processEvent(
      "Name of the source that the event came from."
      source: String!
      "The id that the event has in its source, at most 256 characters."
      id: ID!
    ): ProcessResult
  }

  "What came of processing an event."
  type ProcessResult {
    "Always true: an event that could not be processed is an error."
    success: Boolean!
    "When it was done: ISO 8601, UTC."
    processedAt: String!
  }

  "Something that happened: an order, a visit, a sign-up."
  type Event {
    "The id that the event has in its source."
    id: ID!
    "When it happened: ISO 8601, UTC."
    occurredAt: String
    "What happened, in short."
    eventName: String
    "What happened, in words."
    eventDescription: String
    "What it was worth, in valueUnit."
    value: Float
    "The unit of value, e.g. USD."
    valueUnit: String
    "The kind of event."
    eventType: String
    "The source that it came from."
    source: String
    "When it was last processed: ISO 8601, UTC."
    processedAt: String
  }

  "Somebody, with all identifiers that were found to be theirs."
  type Person {
    "The person's id; it stays while new events arrive."
    id: ID!
    "Their name, where it is known."
    name: String
    "Their e-mail addresses."
    emails: [String!]!
    "Their phone numbers."
    phones: [String!]!
    "Their ids in loyalty programmes."
    loyaltyIds: [String!]!
    "When their first event happened: ISO 8601, UTC."
    firstEventAt: String
    "When their last event happened: ISO 8601, UTC."
    lastEventAt: String
    "How many events they have."
    events: Int!
    "The sources that their events came from."
    sources: [String!]!
  }
`;
