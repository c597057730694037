import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { AddInput, AddReceipt, PartitionChange, Progress } from './backfill.js';
import type { AlikeInput, AlikeReceipt, Decision, DecisionReceipt, StandingOrder } from './decision.js';
import type { Proposal, ProposalInput } from './fix.js';
import type { LimitWarning, ResumeInput } from './limits.js';
import type { PartitionState } from './partition.js';

/** To a backfill. */
export const pauseSignal = defineSignal('pause');
export const resumeSignal = defineSignal<[ResumeInput?]>('resume');
/** Finish the partitions under way, start no other, end cancelled. */
export const drainSignal = defineSignal('drain');
export const addUpdate = defineUpdate<AddReceipt, [AddInput]>('add');
export const resolveAlikeUpdate = defineUpdate<AlikeReceipt, [AlikeInput]>('resolveAlike');
export const progressQuery = defineQuery<Progress>('progress');
/** From a partition to its backfill, when its status changes between start and end. */
export const partitionChangedSignal = defineSignal<[PartitionChange]>('partitionChanged');

/** To a partition. */
export const resolveUpdate = defineUpdate<DecisionReceipt, [Decision]>('resolve');
export const resolveSignal = defineSignal<[Decision]>('resolve');
/** Puts a proposal before the person who decides; answers with its rehearsal. */
export const proposeUpdate = defineUpdate<Proposal, [ProposalInput]>('propose');
/** A decision that stands for all alike, from the backfill or from whoever releases the parked partitions. */
export const standingOrderSignal = defineSignal<[StandingOrder]>('standingOrder');
/** From a step under way, when it crosses a limit that it only warns of. */
export const limitWarningSignal = defineSignal<[LimitWarning]>('limitWarning');
export const stateQuery = defineQuery<PartitionState>('state');
