#!/bin/sh
# Takes a moment for each message.
sleep 0.1
echo "$QUEUEMILL_MESSAGE_ID" >> done.txt
