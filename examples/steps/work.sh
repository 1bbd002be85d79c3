#!/bin/sh
# Takes a moment for each message.
sleep 0.2
echo "$QUEUEMILL_MESSAGE_ID" >> done.txt
